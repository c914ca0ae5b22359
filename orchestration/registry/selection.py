"""The bundle that a user names: by folder, by id or its beginning, by alias, as the newest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry.aliases import CHALLENGER, PREVIOUS, is_alias_name
from orchestration.registry.entry import CHAMPION, Entry
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger
from orchestration.registry.location import locate
from orchestration.registry.preset_names import check_preset
from orchestration.signatures import open_trusted

FINAL_STAGE = 3
BUNDLE_OPTION = "--bundle FOLDER"
# Opens a bundle, verified; by default with the signature that this machine requires.
Opener = Callable[[Path | str], Bundle]


def select_bundle(
    ledger: Ledger,
    name: str | Path | None,
    preset: str | None = None,
    *,
    named_by: str = BUNDLE_OPTION,
    opening: Opener = open_trusted,
) -> Bundle:
    """The bundle with this name, or the champion (of ``preset``, if given) without a name; verified.

    ``opening``: :func:`models.bundle.open_bundle` where the weights are not used, which needs no signature.

    Raises:
        AnimaticError: as :func:`named_bundle` and :func:`champion_bundle`.
    """
    if name is None:
        return champion_bundle(ledger, preset, named_by=named_by, opening=opening)
    return named_bundle(ledger, name, preset, opening=opening)


def champion_bundle(
    ledger: Ledger,
    preset: str | None = None,
    *,
    named_by: str = BUNDLE_OPTION,
    opening: Opener = open_trusted,
) -> Bundle:
    """The champion, verified; ``named_by``: how a user names another bundle, for the message.

    Raises:
        AnimaticError: the preset does not exist, there is no champion, or its folder no longer contains the
            promoted bundle.
    """
    check_preset(ledger, preset)
    entry = ledger.champion(preset)
    if entry is None:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(
            f"{ledger} has no champion{wanted}: train a bundle (`make demo` does everything), "
            f"then run `animatic promote`, or name one: {named_by}"
        )
    return _open_entry(ledger, entry, opening)


def named_bundle(
    ledger: Ledger, name: str | Path, preset: str | None = None, *, opening: Opener = open_trusted
) -> Bundle:
    """The bundle with the alias ``name``, in the folder ``name``, or whose id begins with it; verified.

    An alias comes before a folder of the same name, which is meant if it is written as a path
    (``./champion``) or given as a Path.

    Raises:
        AnimaticError: nothing, or more than one bundle, has the name; the bundle fails verification, or is of
            another preset than ``preset``.
    """
    check_preset(ledger, preset)
    entry = by_alias(ledger, name, preset) if isinstance(name, str) else None
    if entry is not None:
        return _open_entry(ledger, entry, opening)
    if name != "" and Path(name).is_dir():
        bundle = opening(name)
    else:
        bundle = _open_entry(ledger, _entry_by_id(ledger.snapshot(), str(name)), opening)
    if preset not in (None, bundle.info.preset):
        raise AnimaticError(
            f"bundle {bundle.folder} is of preset {bundle.info.preset}, not {preset}: leave out --preset, "
            "or name another bundle"
        )
    return bundle


def by_alias(history: History, name: str, preset: str | None = None) -> Entry | None:
    """The promotion by which a bundle has the alias ``name``; None if this is not the name of an alias.

    ``champion``, ``challenger`` and ``previous`` always are; others where a preset has them.

    Raises:
        AnimaticError: no preset has the alias, or several have it and ``preset`` does not choose one.
    """
    if not is_alias_name(name):
        return None
    history = history.snapshot()
    presets = [preset] if preset else history.presets()
    found = {each: entry for each in presets if (entry := history.alias(each, name)) is not None}
    if len(found) > 1:
        listed = ", ".join(f"{each}: {entry.bundle_id[:12]}" for each, entry in found.items())
        raise AnimaticError(f"several presets have a {name} ({listed}): name it by its id, or add --preset")
    if found:
        return next(iter(found.values()))
    if name not in (CHAMPION, CHALLENGER, PREVIOUS):
        return None
    of = f" of preset {preset}" if preset else ""
    give = "animatic promote BUNDLE" + ("" if name == CHAMPION else f" --to {name}")
    fix = "promote twice first" if name == PREVIOUS else f"`{give}` gives one"
    folder = f"; the folder of that name is ./{name}" if Path(name).is_dir() else ""
    raise AnimaticError(f"{history} has no {name}{of}: {fix}{folder}")


def newest_final_bundle(ledger: Ledger, preset: str | None = None) -> Bundle:
    """The newest accepted bundle of the last stage (of ``preset``, if given), verified.

    Raises:
        AnimaticError: the ledger lists none, or the bundle fails verification.
    """
    check_preset(ledger, preset)
    finals = [
        entry
        for entry in ledger.in_use()
        if entry.kind == "accepted" and entry.stage == FINAL_STAGE and preset in (None, entry.preset)
    ]
    if not finals:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(
            f"{ledger} lists no stage-{FINAL_STAGE} bundle{wanted}: run `make train STAGE=3` first"
        )
    return _open_entry(ledger, finals[-1], open_trusted)


def newest_folder(ledger: Ledger, stage: int, preset: str) -> Path | None:
    """The folder of the newest accepted bundle of a stage, None without one; its weights are not verified.

    Raises:
        AnimaticError: the folder no longer contains that bundle.
    """
    entry = ledger.newest(stage, preset)
    return None if entry is None else _open_entry(ledger, entry, partial(open_bundle, verify=False)).folder


def known_bundle(ledger: Ledger, name: str, preset: str | None = None) -> Entry:
    """An entry of the bundle that is named as for :func:`named_bundle`; its files need not exist any more.

    Raises:
        AnimaticError: nothing, or more than one bundle, has the name; or the ledger has no entry of it.
    """
    check_preset(ledger, preset)
    history = ledger.snapshot()
    entry = by_alias(history, name, preset)
    if entry is None and name != "" and (Path(name) / "bundle.json").is_file():
        bundle = open_bundle(name, verify=False)
        entry = next(iter(history.log(bundle.id)), None)
        if entry is None:
            raise AnimaticError(f"{ledger} has no entry of bundle {bundle.id[:12]} in {name}")
    return entry or _entry_by_id(history, name)


def _entry_by_id(history: History, name: str) -> Entry:
    matches = {entry.bundle_id: entry for entry in history.entries() if entry.bundle_id.startswith(name)}
    if not name or not matches:
        raise AnimaticError(
            f"{name!r} is neither a bundle folder nor the id of a bundle in {history} "
            "(`animatic registry` lists them), nor an alias"
        )
    if len(matches) > 1:
        raise AnimaticError(f"{name} is the beginning of {len(matches)} bundle ids: give more of it")
    return next(iter(matches.values()))


def _open_entry(ledger: Ledger, entry: Entry, opening: Opener) -> Bundle:
    folder = locate(ledger.snapshot(), entry)
    bundle = opening(folder)
    if bundle.id != entry.bundle_id:
        raise AnimaticError(
            f"{folder} contains bundle {bundle.id[:12]}, but the ledger recorded {entry.bundle_id[:12]}: "
            f"restore that bundle, or use the present one by naming its folder"
        )
    return bundle
