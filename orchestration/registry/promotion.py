"""Changes of the registry: acceptance, promotion and rollback, each one entry of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry.entry import Entry
from orchestration.registry.gate_record import GateRecord
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger, LedgerWriter

# Bundles of the stages before it lack temporal layers, or draw single images.
FIRST_ANIMATING_STAGE = 2


def accept(ledger: Ledger, bundle: Bundle, *, actor: str | None = None, note: str = "") -> Entry:
    """Record an opened bundle, whose files have been verified, as usable by later stages.

    Accepting the same bundle in the same folder again returns the existing entry.

    Raises:
        AnimaticError: the ledger is damaged, or locked by another process.
    """
    with ledger.writing() as writer:
        return _accepted(writer, bundle, actor=actor, note=note)


@dataclass(frozen=True)
class Grounds:
    """Why a bundle may become champion: the decision of a gate, or the reason of whoever forces it.

    Both, where a promotion is forced against the gate's decision.
    """

    gate: GateRecord | None = None
    forced: str = ""

    def __post_init__(self) -> None:
        passed = self.gate is not None and self.gate.outcome == "PASS"
        if not passed and not self.forced.strip():
            raise ValueError("a promotion needs a gate that passed, or a reason to force it")


def promote(
    ledger: Ledger,
    bundle: Bundle,
    judge: Callable[[Entry | None], Grounds],
    *,
    actor: str | None = None,
    note: str = "",
) -> Entry:
    """Make an opened bundle the champion of its preset; it is accepted first if it was not.

    Promoting the champion again changes nothing and returns its entry.

    Args:
        judge: the grounds for promoting the bundle over the present champion (None: there is none). It may
            take its time: it is asked again if another process has changed the champion meanwhile. What it
            raises ends the promotion.

    Raises:
        AnimaticError: the bundle cannot animate; the ledger is damaged, or locked by another process.
    """
    check_animates(bundle)
    preset = bundle.info.preset
    while True:
        champion = ledger.champion(preset)
        again = champion is not None and champion.bundle_id == bundle.id
        grounds = None if again else judge(champion)
        with ledger.writing() as writer:
            if writer.champion(preset) != champion:
                continue
            accepted = _accepted(writer, bundle, actor=actor)
            if champion is not None and grounds is None:
                return champion
            assert grounds is not None
            return writer.append(
                "promoted",
                bundle_id=accepted.bundle_id,
                bundle_path=bundle.folder,
                stage=accepted.stage,
                preset=accepted.preset,
                actor=actor,
                replaced=champion.bundle_id if champion else None,
                note=note,
                gate=grounds.gate,
                forced=grounds.forced,
            )


def rollback(ledger: Ledger, *, preset: str | None = None, actor: str | None = None, note: str = "") -> Entry:
    """Withdraw the champion and reinstate the previous one, after verifying its files.

    Raises:
        AnimaticError: there is no champion, or no previous one, or the previous one fails verification.
    """
    while True:
        champion, previous = _last_two(ledger, preset)
        folder = _verified(ledger, previous).folder
        with ledger.writing() as writer:
            # Verifying reads all weights, which takes too long for a lock. Start over if another process has
            # promoted or rolled back meanwhile.
            if _last_two(writer, preset) == (champion, previous):
                return writer.append(
                    "rolled_back",
                    bundle_id=previous.bundle_id,
                    bundle_path=folder,
                    stage=previous.stage,
                    preset=previous.preset,
                    actor=actor,
                    replaced=champion.bundle_id,
                    note=note,
                )


def check_animates(bundle: Bundle) -> None:
    """Raise AnimaticError for a bundle that no picture can be animated with."""
    info = bundle.info
    if info.stage < FIRST_ANIMATING_STAGE:
        raise AnimaticError(
            f"bundle {bundle.folder} is of stage {info.stage} and cannot animate: promote a bundle of stage 3"
        )
    check_complete(bundle)


def check_complete(bundle: Bundle, codec: str | None = None, encoders: str | None = None) -> None:
    """Raise AnimaticError for a bundle without an autoencoder or encoders, or for unused paths.

    Args:
        codec, encoders: paths of those to use, as of :meth:`models.bundle.Bundle.animator`.
    """
    architecture = bundle.info.architecture
    for option, path, part in (
        ("--codec", codec, architecture.codec),
        ("--encoders", encoders, architecture.encoders),
    ):
        if path is not None and part.kind not in ("vae", "open_clip"):
            raise AnimaticError(
                f"{option} is without effect: bundle {bundle.folder} computes that part without a file "
                f"(kind {part.kind}); leave the option out"
            )
    missing = bundle.missing_parts(codec, encoders)
    if missing:
        raise AnimaticError(
            f"bundle {bundle.folder} cannot animate, it lacks {' and '.join(missing)}: import a checkpoint "
            "file that contains them, or name others to animate and evaluate with --codec and --encoders"
        )


def _accepted(writer: LedgerWriter, bundle: Bundle, *, actor: str | None, note: str = "") -> Entry:
    known = writer.accepted(bundle.id)
    if known is not None and writer.path_of(known).resolve() == bundle.folder.resolve():
        return known
    return writer.append(
        "accepted",
        bundle_id=bundle.id,
        bundle_path=bundle.folder,
        stage=bundle.info.stage,
        preset=bundle.info.preset,
        actor=actor,
        note=note,
    )


def _last_two(history: History, preset: str | None) -> tuple[Entry, Entry]:
    """The champion and the one before it."""
    champion = history.champion(preset)
    if champion is None:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(f"{history.path} has no champion{wanted}, so nothing can be rolled back")
    earlier = history.champions(champion.preset)[:-1]
    if not earlier:
        raise AnimaticError(
            f"champion {champion.bundle_id[:12]} is the first of preset {champion.preset}: "
            "there is no earlier one to return to"
        )
    return champion, earlier[-1]


def _verified(ledger: Ledger, previous: Entry) -> Bundle:
    found = open_bundle(ledger.path_of(previous))
    if found.id != previous.bundle_id:
        raise AnimaticError(
            f"{found.folder} contains bundle {found.id[:12]}, but the previous champion is "
            f"{previous.bundle_id[:12]}: restore that bundle, or promote another one"
        )
    return found
