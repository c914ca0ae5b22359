"""The bundle that a user names: by folder, by id or its beginning, as champion, as the newest."""

from __future__ import annotations

from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry.entry import Entry
from orchestration.registry.ledger import Ledger
from orchestration.registry.preset_names import check_preset

FINAL_STAGE = 3
BUNDLE_OPTION = "--bundle FOLDER"


def select_bundle(
    ledger: Ledger, name: str | Path | None, preset: str | None = None, *, named_by: str = BUNDLE_OPTION
) -> Bundle:
    """The bundle with this name, or the champion (of ``preset``, if given) without a name; verified.

    Raises:
        AnimaticError: as :func:`named_bundle` and :func:`champion_bundle`.
    """
    if name is None:
        return champion_bundle(ledger, preset, named_by=named_by)
    return named_bundle(ledger, name, preset)


def champion_bundle(ledger: Ledger, preset: str | None = None, *, named_by: str = BUNDLE_OPTION) -> Bundle:
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
            f"{ledger.path} has no champion{wanted}: train a bundle (`make demo` does everything), "
            f"then run `animatic promote`, or name one: {named_by}"
        )
    return _open_entry(ledger, entry)


def named_bundle(ledger: Ledger, name: str | Path, preset: str | None = None) -> Bundle:
    """The bundle in the folder ``name``, or the one in the ledger whose id begins with ``name``; verified.

    Raises:
        AnimaticError: neither a folder nor exactly one id matches, the bundle fails verification, or it is of
            another preset than ``preset``.
    """
    check_preset(ledger, preset)
    bundle = open_bundle(name) if name != "" and Path(name).is_dir() else _by_id(ledger, str(name))
    if preset not in (None, bundle.info.preset):
        raise AnimaticError(
            f"bundle {bundle.folder} is of preset {bundle.info.preset}, not {preset}: leave out --preset, "
            "or name another bundle"
        )
    return bundle


def newest_final_bundle(ledger: Ledger, preset: str | None = None) -> Bundle:
    """The newest accepted bundle of the last stage (of ``preset``, if given), verified.

    Raises:
        AnimaticError: the ledger lists none, or the bundle fails verification.
    """
    check_preset(ledger, preset)
    finals = [
        entry
        for entry in ledger.entries()
        if entry.kind == "accepted" and entry.stage == FINAL_STAGE and preset in (None, entry.preset)
    ]
    if not finals:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(
            f"{ledger.path} lists no stage-{FINAL_STAGE} bundle{wanted}: run `make train STAGE=3` first"
        )
    return _open_entry(ledger, finals[-1])


def newest_folder(ledger: Ledger, stage: int, preset: str) -> Path | None:
    """The folder of the newest accepted bundle of a stage, None without one; its weights are not verified.

    Raises:
        AnimaticError: the folder no longer contains that bundle.
    """
    entry = ledger.newest(stage, preset)
    return None if entry is None else _open_entry(ledger, entry, verify=False).folder


def _by_id(ledger: Ledger, name: str) -> Bundle:
    matches = {entry.bundle_id: entry for entry in ledger.entries() if entry.bundle_id.startswith(name)}
    if not name or not matches:
        raise AnimaticError(
            f"{name!r} is neither a bundle folder nor the id of a bundle in {ledger.path} "
            "(`animatic registry` lists them)"
        )
    if len(matches) > 1:
        raise AnimaticError(f"{name} is the beginning of {len(matches)} bundle ids: give more of it")
    return _open_entry(ledger, next(iter(matches.values())))


def _open_entry(ledger: Ledger, entry: Entry, *, verify: bool = True) -> Bundle:
    folder = ledger.path_of(entry)
    bundle = open_bundle(folder, verify=verify)
    if bundle.id != entry.bundle_id:
        raise AnimaticError(
            f"{folder} contains bundle {bundle.id[:12]}, but the ledger recorded {entry.bundle_id[:12]}: "
            f"restore that bundle, or use the present one by naming its folder"
        )
    return bundle
