"""Checkpoints that exist completely or not at all.

Every rank writes its part into a temporary folder; then come the digests of all files, the manifest, fsync
and one rename. A folder without a manifest, or whose files no longer match it, is not a checkpoint: resuming
falls back to the newest one that is.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from core.errors import AnimaticError
from core.files import move_into_place, sha256, sync, write_text
from training.backends.deepspeed import Engine
from training.backends.ema import Ema
from training.process_group import ProcessGroup

MANIFEST = "manifest.json"
_FORMAT = 1
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Saved:
    """A verified checkpoint. ``digest`` is that of its manifest, which holds those of its files."""

    step: int
    path: Path
    digest: str


def save(
    root: Path, step: int, engine: Engine, ema: Ema | None, identity: Mapping[str, Any], keep: int
) -> Saved:
    """Write ``root/step-…`` and delete older checkpoints beyond ``keep``. Collective; shared file system.

    ``identity``: what must be equal for a run to resume from here.
    """
    final = root / f"step-{step:08d}"
    partial = final.with_name(final.name + _PARTIAL)
    if engine.world.rank == 0:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    dist.barrier()
    engine.save(str(partial))
    if ema is not None:
        torch.save(ema.values, partial / _rank_file(engine.world.rank))
    dist.barrier()
    files = _digest_together(partial, engine.world)
    if engine.world.rank == 0:
        manifest = {"format": _FORMAT, "step": step, **identity, "files": files}
        write_text(partial / MANIFEST, json.dumps(manifest, indent=1))
        _remove(final)
        move_into_place(partial, final)
    dist.barrier()
    saved = Saved(step, final, sha256(final / MANIFEST))
    if engine.world.rank == 0:
        _retain(root, saved, keep)
    return saved


def newest(root: Path, warn: Callable[[str], None]) -> Saved | None:
    """The newest checkpoint whose files match its manifest; damaged ones are passed over with a warning."""
    for path in sorted(root.glob("step-*"), reverse=True):
        if path.name.endswith(_PARTIAL):
            continue
        problem = verify(path)
        if problem is None:
            return Saved(int(path.name.removeprefix("step-")), path, sha256(path / MANIFEST))
        warn(f"checkpoint {path} is damaged and passed over: {problem}")
    return None


def verify(path: Path) -> str | None:
    """What is wrong with a checkpoint; None when every file is there and unchanged."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return "its manifest is missing or unreadable"
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, {expected['bytes']} were written"
        if sha256(file) != expected["sha256"]:
            return f"{name} has changed since it was written"
    return None


def load(saved: Saved, engine: Engine, ema: Ema | None, identity: Mapping[str, Any]) -> None:
    """Continue from a checkpoint. Collective.

    Raises AnimaticError when it was written by another number of ranks or by another run.
    """
    manifest = json.loads((saved.path / MANIFEST).read_text())
    if manifest["world_size"] != identity["world_size"]:
        raise AnimaticError(
            f"checkpoint {saved.path} was written by {manifest['world_size']} workers, this run has "
            f"{identity['world_size']}: resume with launch.workers={manifest['world_size']}"
        )
    differing = [key for key, value in identity.items() if manifest.get(key) != value]
    if differing:
        raise AnimaticError(
            f"checkpoint {saved.path} belongs to another run (different {', '.join(differing)}): "
            "choose another run folder, or delete this one to start over"
        )
    engine.load(str(saved.path))
    if ema is not None:
        ema.load(
            torch.load(saved.path / _rank_file(engine.world.rank), map_location="cpu", weights_only=True)
        )


def clean(root: Path) -> None:
    """Delete what interrupted saves left behind. On one rank, before any save."""
    for path in root.glob(f"step-*{_PARTIAL}"):
        shutil.rmtree(path)


def _digest_together(folder: Path, world: ProcessGroup) -> dict[str, dict[str, Any]]:
    """Size and digest of every file, the work shared by all ranks."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    mine: dict[str, dict[str, Any]] = {}
    for path in files[world.rank :: world.size]:
        sync(path)
        mine[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    parts: list[Any] = [None] * world.size
    dist.all_gather_object(parts, mine)
    return {name: entry for part in parts for name, entry in sorted(part.items())}


def _retain(root: Path, newest_saved: Saved, keep: int) -> None:
    """Delete all but the newest ``keep``, once the newest is known to be readable."""
    complete = sorted(path for path in root.glob("step-*") if not path.name.endswith(_PARTIAL))
    doomed = [path for path in complete[:-keep] if path != newest_saved.path]
    if doomed and verify(newest_saved.path) is None:
        for path in doomed:
            _remove(path)


def _remove(path: Path) -> None:
    """Delete a checkpoint; without its manifest it is none even if deletion is interrupted."""
    (path / MANIFEST).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)


def _rank_file(rank: int) -> str:
    return f"ema-{rank:05d}.pt"
