"""Verbs that only read the ledger or tables, and mistakes in a command, need neither torch nor Ray.

Importing those takes seconds; a verb without them answers within one.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.coded_clips import build_dataset
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle

# The mirror in MLflow is not under test: its store takes seconds to create.
CALL = """
import shlex, sys
from typer.testing import CliRunner
from orchestration import registry
from orchestration.cli import app
registry.mirror_change = lambda *_: None
for command in sys.argv[1:]:
    code = CliRunner().invoke(app, shlex.split(command)).exit_code
    print(command, code, *(name for name in ("torch", "ray") if name in sys.modules), sep=" -> ")
"""
# Commands by verb, with their exit codes.
VERBS = {
    "help": {"--help": 0},
    "registry": {
        "registry": 0,
        "lineage": 0,
        "lineage first": 0,
        "rollback": 0,
        "rollback --preset 512": 1,
        "promote nowhere": 1,
    },
    "inspect": {
        "inspect nowhere": 1,
        "inspect --clips 0": 0,
        "verify": 0,
        "takedown nowhere --source-id 1": 1,
        "takedown runs/data --source-id 1 --dry-run": 0,
    },
    "ingest": {"ingest table.csv --set crff=3": 1, "retry nowhere --class fetch_timeout": 1},
    "train": {
        "train": 2,
        "train --stage 3 --set train.stpes=3": 1,
        "train --stage 3 --preset none": 1,
        "train --stage 3": 1,
        "train --stage 2 --set init.base=nowhere": 1,
        "train --stage 1 --data nowhere": 1,
        "train --stage 3 --print-config": 0,
        "sync nowhere": 1,
    },
    "metric": {
        "metric frechet features.npy features.npy": 0,
        "metric kernel features.npy features.npy": 0,
        "metric kernel nowhere.npy features.npy": 1,
    },
    "page": {"page nowhere/report.json": 1},
    "animate": {
        "animate": 2,
        "animate nowhere.png prompt": 1,
        "animate still.png prompt --bundle nowhere": 1,
        "animate still.png prompt --eta 3": 1,
        "animate still.png prompt --frames 1 --loop": 1,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working directory with a dataset, a stage-1 bundle, two champions and a picture."""
    folder = tmp_path_factory.mktemp("light")
    workspace = Workspace(folder / "runs")
    build_dataset(workspace.data, [12, 12])
    make_bundle(folder / "first", stage=1)
    accept(workspace.ledger, open_bundle(folder / "first"))
    for seed in range(2):
        make_bundle(folder / f"champion-{seed}", seed=seed)
        promote(workspace.ledger, open_bundle(folder / f"champion-{seed}"))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "still.png")
    np.save(folder / "features.npy", np.eye(4))
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_a_light_verb_imports_neither_torch_nor_ray(folder, verb):
    # Where a machine has GPUs, torch would be imported to count them.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("ANIMATIC_RUNS", None)
    call = [sys.executable, "-c", CALL, *VERBS[verb]]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{command} -> {code}" for command, code in VERBS[verb].items()]
