"""Return to the champion before."""

from __future__ import annotations

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.registry.entry import CHAMPION, Draft, Entry
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger
from orchestration.registry.location import absence
from orchestration.registry.promotion import ConflictError, refuse_conflict
from orchestration.signatures import open_trusted


def rollback(ledger: Ledger, *, preset: str | None = None, actor: str | None = None, note: str = "") -> Entry:
    """Withdraw the champion and reinstate the previous one, after verifying its files.

    Where the champion was withdrawn already, the one before it is reinstated.

    Raises:
        ConflictError: another process has changed the champion meanwhile.
        AnimaticError: there is no previous champion, or it is withdrawn, gone or changed; the message has
            the way out.
    """
    history = ledger.snapshot()
    champion, previous = _last_two(history, preset)
    bundle = _verified(history, previous)  # reads all weights, which takes too long for a lock
    replaced = champion.bundle_id if champion else None

    def decide(history: History) -> Draft:
        refuse_conflict(history, previous.preset, CHAMPION, champion)
        if _last_two(history, previous.preset)[1] != previous:  # while no bundle is champion
            raise ConflictError(
                f"the previous champion of preset {previous.preset} changed meanwhile: nothing was recorded; "
                "run the command again"
            )
        return Draft(
            "rolled_back",
            previous.bundle_id,
            bundle.folder,
            previous.stage,
            previous.preset,
            actor,
            replaced=replaced,
            note=note,
            alias=CHAMPION,
        )

    return ledger.update(decide)


def _last_two(history: History, preset: str | None) -> tuple[Entry | None, Entry]:
    """The champion, None if it was withdrawn, and the promotion before it.

    Raises AnimaticError where there is none to return to, or that one was withdrawn from use.
    """
    preset = preset or _last_preset(history)
    state = history.champion_state(preset) if preset else None
    if state is None or not state.held:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(
            f"{history} has no champion{wanted}, so nothing can be rolled back: promote a bundle with "
            "`animatic promote`"
        )
    champion, previous = (None if state.vacant else state.held[-1]), state.previous
    if previous is None:
        first = state.held[-1]
        raise AnimaticError(
            f"champion {first.bundle_id[:12]} is the first of preset {first.preset}: there is no earlier one "
            f"to return to; promote another bundle ({_way_out(history, first)}), or leave the preset without "
            f"one (`animatic withdraw {first.bundle_id[:12]} --from champion --reason TEXT`)"
        )
    withdrawn = history.withdrawn(previous.bundle_id)
    if withdrawn is not None:
        raise AnimaticError(
            f"the previous champion {previous.bundle_id[:12]} was withdrawn from use by {withdrawn.actor} at "
            f"{withdrawn.time} ({withdrawn.note}): promote another bundle, {_way_out(history, previous)}"
        )
    return champion, previous


def _last_preset(history: History) -> str | None:
    """The preset whose champion was moved last."""
    moves = [entry for entry in history.entries() if entry.moved_alias == CHAMPION]
    return moves[-1].preset if moves else None


def _verified(history: History, previous: Entry) -> Bundle:
    """The previous champion, from any folder that was recorded for it."""
    recorded = history.path_of(previous)
    name = previous.bundle_id[:12]
    others: list[Bundle] = []
    for folder in dict.fromkeys((recorded, *history.folders_of(previous.bundle_id))):
        if not (folder / "bundle.json").is_file():
            continue
        try:
            found = open_trusted(folder)
        except AnimaticError as error:
            raise AnimaticError(
                f"the previous champion {name} cannot be reinstated: {error}, or promote another bundle, "
                f"{_way_out(history, previous)}"
            ) from error
        if found.id == previous.bundle_id:
            return found
        others.append(found)
    if others:
        raise AnimaticError(
            f"{others[0].folder} contains bundle {others[0].id[:12]}, but the previous champion is {name}: "
            f"restore that bundle, or promote another one, {_way_out(history, previous)}"
        )
    raise AnimaticError(
        f"the previous champion cannot be reinstated: {absence(history, previous)}, or promote another "
        f"bundle, {_way_out(history, previous)}"
    )


def _way_out(history: History, refused: Entry) -> str:
    """The command that promotes the champion before the refused one, or any bundle if there is none."""
    state = history.champion_state(refused.preset)
    present = {refused.bundle_id, *([state.held[-1].bundle_id] if not state.vacant else [])}
    usable = [
        entry.bundle_id[:12]
        for entry in state.held
        if entry.bundle_id not in present and history.withdrawn(entry.bundle_id) is None
    ]
    return f"`animatic promote {usable[-1] if usable else 'BUNDLE'}`"
