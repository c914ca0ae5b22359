"""Two machines that share nothing but an object store work with one registry."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from models.bundle import open_bundle
from orchestration.workspace import Workspace
from tests.support.bucket import BUCKET, AtomicServer, bucket
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.promotions import GATE, evaluated
from tests.support.small_stages import make_bundle

SECRET = "planted0secret"
SMALL = [
    word
    for text in ("train.steps=1", "train.global_batch=2", "launch.workers=1", "tracking.wandb=disabled")
    for word in ("--set", text)
]
ANIMATE = ("animate", "still.png", "a square", "--steps", 1)
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Machine:
    """A folder that no other machine sees, and the name of the machine and its user."""

    root: Path

    @property
    def _away(self) -> Path:
        return self.root.with_name(f".{self.root.name}")

    def __call__(self, *arguments: object) -> Result:
        """The outcome of the command on this machine."""
        others = [each for each in self.root.parent.iterdir() if each != self.root and each.is_dir()]
        hidden = [(each, each.with_name(f".{each.name}")) for each in others]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setenv("ANIMATIC_HOST", f"{self.root.name}-desk")
            patch.setenv("ANIMATIC_ACTOR", self.root.name)
            for each, away in hidden:
                each.rename(away)
            try:
                return run(*arguments)
            finally:
                for each, away in hidden:
                    away.rename(each)

    def works(self, *arguments: object) -> Result:
        """The outcome of a command that must succeed."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result

    def refused(self, *arguments: object) -> str:
        """The one line of a command that must fail."""
        result = self(*arguments)
        assert result.exit_code == 1, result.output
        return result.stderr.strip().splitlines()[-1]

    def bundle(self, name: str, **more: Any) -> str:
        """A bundle of stage 3 with a report; returns its folder in the command's form."""
        folder = self.root / "runs" / name / "bundle"
        make_bundle(folder, **more)
        evaluated(open_bundle(folder), Workspace(self.root / "runs"))
        return f"./runs/{name}/bundle"


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Machine, Machine]]:
    """Ann's and Bob's, each with a picture and a gate; the registry is in a bucket."""
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with bucket(AtomicServer()) as url:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("ANIMATIC_REGISTRY", f"{url}/team")
        for name in ("ann", "bob"):
            (tmp_path / "machines" / name).mkdir(parents=True)
            (tmp_path / "machines" / name / "gate.yaml").write_text(GATE)
            Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "machines" / name / "still.png")
        yield Machine(tmp_path / "machines" / "ann"), Machine(tmp_path / "machines" / "bob")


def listed(machine: Machine) -> list[dict[str, str]]:
    """The entries of the ledger, as the machine sees them."""
    found: list[dict[str, str]] = json.loads(machine.works("registry", "--json").stdout)["entries"]
    return found


def test_one_registry_serves_two_machines(machines: tuple[Machine, Machine]) -> None:
    ann, bob = machines
    first, second = ann.bundle("one"), bob.bundle("two", fps=12.0)
    ann.works("promote", first, "--gate", "gate.yaml")
    # The champion's report comes from the bucket: Bob never had it.
    decided = bob.works("promote", second, "--gate", "gate.yaml", "--json")
    assert json.loads(decided.stdout)["gate"]["champion_report"] is not None
    assert listed(ann) == listed(bob)
    assert [(entry["kind"], entry["host"]) for entry in listed(ann)] == [
        ("accepted", "ann-desk"),
        ("promoted", "ann-desk"),
        ("accepted", "bob-desk"),
        ("promoted", "bob-desk"),
    ]
    ann.works("lineage", "champion")
    bob.works(*ANIMATE)
    away = ann.refused(*ANIMATE)
    assert f"is in {bob.root}/runs/two/bundle of the machine bob-desk, where bob recorded it" in away
    assert "copy that folder and name the copy, or run `animatic export" in away
    assert "of the machine ann-desk" in bob.refused("rollback")

    ann.works("rollback")
    ann.works(*ANIMATE)
    shutil.copytree(ann.root / "runs" / "one" / "bundle", bob.root / "runs" / "copy")
    assert "is champion already" in bob.works("promote", "./runs/copy").stderr
    bob.works(*ANIMATE)
    bob.works("registry", "verify")
    objects = boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    names = [each["Key"] for each in objects]
    assert names[:6] == [f"team/ledger/{number:08d}.json" for number in range(6)]
    assert sum(name.startswith("team/promotions/report-") for name in names) == 2
    for name in names:
        assert SECRET.encode() not in boto3.client("s3").get_object(Bucket=BUCKET, Key=name)["Body"].read()
    for machine in machines:
        for folder, _, files in os.walk(machine.root):
            for name in files:
                assert SECRET.encode() not in Path(folder, name).read_bytes()


def test_training_continues_a_bundle_of_another_machine_only_where_it_is(
    machines: tuple[Machine, Machine],
) -> None:
    ann, bob = machines
    for machine in machines:
        build_dataset(machine.root / "data", [40] * 4)
    command = ("train", "--preset", "tiny", "--data", "data", "--launcher", "torchrun", *SMALL)
    ann.works(*command, "--stage", 1)
    refused = bob.refused(*command, "--stage", 2)
    assert "of the machine ann-desk, where ann recorded it, and not on this one" in refused
    (entry,) = listed(bob)
    shutil.copytree(entry["bundle_path"], bob.root / "copy")
    bob.works(*command, "--stage", 2, "--set", "init.parent=copy")
    assert [(each["stage"], each["host"]) for each in listed(ann)] == [(1, "ann-desk"), (2, "bob-desk")]
    measured = bob.works(
        "evaluate", "data", "--bundle", listed(bob)[1]["bundle_id"][:12], *("--steps", 1, "--workers", 0)
    )
    assert "first_frame_psnr" in measured.stdout
