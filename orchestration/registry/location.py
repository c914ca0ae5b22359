"""Where on this machine a bundle of the ledger is."""

from __future__ import annotations

from pathlib import Path

from core.errors import AnimaticError
from core.host import host_name
from models.bundle import open_bundle
from orchestration.registry.entry import Entry
from orchestration.registry.history import History


def locate(history: History, entry: Entry) -> Path:
    """The folder that contains the bundle of an entry: the entry's own, or another one recorded for it.

    Weights are not verified. If all of these folders contain other bundles, it is the first of them.

    Raises:
        AnimaticError: none of them contains a bundle; the message names the machine that it is on.
    """
    folders = dict.fromkeys((history.path_of(entry), *history.folders_of(entry.bundle_id)))
    present = [folder for folder in folders if (folder / "bundle.json").is_file()]
    if not present:
        raise AnimaticError(absence(history, entry))
    same = (folder for folder in present if open_bundle(folder, verify=False).id == entry.bundle_id)
    return next(same, present[0])


def absence(history: History, entry: Entry) -> str:
    """Why no folder of this machine contains the bundle of an entry, and what to do."""
    name, folder = entry.bundle_id[:12], history.path_of(entry)
    log = history.log(entry.bundle_id)
    recorded = next((each for each in log if each.bundle_path == entry.bundle_path), entry)
    exports = [each.location for each in log if each.kind == "exported"]
    exported = f"; it was exported to {exports[-1]}" if exports else ""
    if recorded.host in ("", host_name()):
        return f"bundle {name} is not in {folder} any more: copy it back there{exported}"
    return (
        f"bundle {name} is in {folder} of the machine {recorded.host}, where {recorded.actor} recorded it, "
        f"and not on this one: copy that folder and name the copy, or run `animatic export {name} --to URL` "
        f"there{exported}"
    )
