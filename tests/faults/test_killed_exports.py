"""`animatic export` processes that are killed at random: the pointer always names a whole bundle."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.storage import Folder
from models.bundle import BundleOrigin, open_bundle, write_bundle
from orchestration import registry
from orchestration.export import Location, list_exports
from orchestration.workspace import Workspace
from tests.support.bucket import AtomicServer, bucket
from tests.support.exports import visible
from tests.support.paths import ROOT
from tests.support.small_stages import make_bundle

KILLS = 20
# So that most kills meet a copy, and not the start of a process.
DISK_PADDING, STORE_PADDING = 120 << 20, 8 << 20  # bytes
# Without the mirror in MLflow, whose import takes longer than a copy.
COMMAND = (
    "from orchestration import registry; registry.mirror_change = lambda *_: None;"
    "from orchestration.cli import main; main()"
)


def large_bundle(folder: Path, seed: int, padding_bytes: int) -> str:
    """A bundle whose file is large because of a tensor that the network does not have; its id."""
    make_bundle(folder.with_name(f"{folder.name}-small"), seed=seed)
    small = open_bundle(folder.with_name(f"{folder.name}-small"))
    generator = torch.Generator().manual_seed(seed)
    padding = torch.randint(0, 256, (padding_bytes,), dtype=torch.uint8, generator=generator)
    weights = folder.with_name(f"{folder.name}.safetensors")
    save_file({**load_file(small.weights), "padding": padding}, weights)
    origin = BundleOrigin.model_validate(small.info.model_dump(include=set(BundleOrigin.model_fields)))
    return write_bundle(folder, weights, origin, model_card="# test\n")


def make_champion(workspace: Workspace, folder: Path) -> None:
    registry.promote(workspace.ledger, open_bundle(folder), lambda _: registry.Grounds(forced="a test"))


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "export", "champion", "--to", url],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ANIMATIC_RUNS": "runs"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def remove_others(url: str) -> None:
    """Remove what the pointer does not name, so that the next export has everything to copy."""
    location = Location(url)
    pointer = location.pointer("champion")
    for export in location.exports():
        if pointer is None or export != pointer.export:
            location.folder.remove_tree(export)


def whole_bundle(url: str) -> str:
    """The id of the bundle that the pointer names, every byte of which was read and verified."""
    (listed,) = list_exports(Location(url), deep=True)
    assert listed.pointer is not None
    assert listed.problems == []
    return listed.pointer.bundle_id


def kill_exports(folder: Path, url: str, padding_bytes: int) -> None:
    """Export and kill until ``KILLS`` processes were killed; the pointer always names one of two bundles."""
    workspace, drawn = Workspace(folder / "runs"), random.Random(0)
    bundles = [folder / "runs" / name for name in ("a", "b")]
    ids = [large_bundle(bundle, seed, padding_bytes) for seed, bundle in enumerate(bundles)]
    current, killed, finished, seen = 0, 0, 0, set()
    make_champion(workspace, bundles[current])
    began = time.monotonic()
    assert start(folder, url).wait() == 0
    whole_s = time.monotonic() - began
    current = 1
    make_champion(workspace, bundles[current])
    while killed < KILLS:
        process = start(folder, url)
        try:
            process.communicate(timeout=drawn.uniform(0.3, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -9), errors.decode()
        found = whole_bundle(url)
        assert found in ids
        seen.add((process.returncode, found == ids[current]))
        if process.returncode == 0:
            assert found == ids[current]
            remove_others(url)
            finished += 1
            current = 1 - current
            make_champion(workspace, bundles[current])
    process = start(folder, url)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert visible(url, folder / "cache") == ids[current]
    recorded = [entry for entry in workspace.ledger.entries() if entry.kind == "exported"]
    # A kill between the pointer and the ledger is made up for by the next run.
    assert [entry.bundle_id for entry in recorded] == [ids[n % 2] for n in range(finished + 2)]
    print(f"{killed} killed, {finished + 2} finished, {whole_s:.1f} s each; exit code, moved: {seen}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_exports_to_a_disk_leave_a_whole_bundle_visible(tmp_path: Path) -> None:
    kill_exports(tmp_path, str(tmp_path / "serving"), DISK_PADDING)
    left = [path.name for path in (tmp_path / "serving").rglob("*")]
    assert not [name for name in left if ".part-" in name or name == ".scratch"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_exports_to_an_object_store_leave_a_whole_bundle_visible(tmp_path: Path) -> None:
    with bucket(AtomicServer()) as url:
        kill_exports(tmp_path, f"{url}/serving", STORE_PADDING)
        assert {*Folder(f"{url}/serving").names()} == {"champion.json", "exports"}
