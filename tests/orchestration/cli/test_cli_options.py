"""An option does what it is named for or is refused: nothing is ignored."""

import json
from pathlib import Path

import pytest

from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.small_stages import make_bundle

IGNORED = {
    "inspect data --clips 3 --batch": "--clips is without effect with --batch",
    "inspect data --stage 1": "--stage is without effect without --batch",
    "inspect data --stage 3": "--stage is without effect without --batch",
    "inspect data --preset tiny": "--preset is without effect without --batch",
    "inspect data --position 0": "--position is without effect without --batch",
    "inspect data --set seed=1": "--set is without effect without --batch",
    "inspect data --config a.yaml": "--config is without effect without --batch",
    "ingest a.csv --no-track --mlflow-uri sqlite:///x.db": "--mlflow-uri is without effect with --no-track",
    "retry data --class x --no-track --mlflow-uri x": "--mlflow-uri is without effect with --no-track",
    "encode data --to out --workers 0 --address x:1": "--address is without effect with --workers 0",
    "score data --weights x.pt --workers 0 --address x:1": "--address is without effect with --workers 0",
    "evaluate data --workers 0 --address x:1": "--address is without effect with --workers 0",
    "demo --prior --out x": "--out is without effect with --prior",
    "demo --prior --image x --prompt y": "--image is without effect with --prior",
    "demo --prompt x": "--prompt is without effect without --image",
    "demo --set train.steps=3": "--set is without effect without --prior",
    "train --stage 1 --verbose": "--verbose is without effect without --print-initialisation",
    "train --stage 1 --verbose --print-config": "--verbose is without effect without --print-initialisation",
    "train --stage 1 --print-config --print-initialisation": "print one of them",
    "train --stage 1 --print-config --dry-run": "--dry-run is without effect where nothing is trained",
    "train --stage 1 --dry-run --metrics-port 0": "--metrics-port is without effect with --dry-run",
    "train --stage 1 --print-config --out x": "--out is without effect where nothing is trained",
}


@pytest.mark.parametrize("command", IGNORED)
def test_an_option_without_effect_is_refused(here: Path, command: str) -> None:
    fails(IGNORED[command], *command.split())
    assert list(here.iterdir()) == []


def test_a_rate_that_no_file_can_have_is_refused(here: Path) -> None:
    # An mp4 of more than 1000 frames per second lost all of them.
    for rate in ("1001", "0.05"):
        assert run("animate", "still.png", "a ball", "--playback", rate).exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        "train --stage 3 --preset TINY --print-config",
        "train --stage 3 --preset ../presets/tiny --print-config",
        "ingest a.csv --preset tniy",
        "encode data --to out --preset tiny2",
        "inspect data --batch --preset tin",
        "animate a.png x --preset tiy",
        "ablation --preset tni",
        "promote --preset tinny",
        "rollback --preset tinyy",
        "lineage --preset t1ny",
        "registry --preset itny",
    ],
)
def test_a_preset_that_does_not_exist_is_refused_by_every_verb_with_the_nearest_one(
    here: Path, command: str
) -> None:
    nearest = "" if "TINY" in command or "../" in command else "did you mean 'tiny'? "
    fails(f"{nearest}choose one of tiny, 256, 512, 1024", *command.split())
    assert list(here.iterdir()) == []


@pytest.fixture
def ledger(here: Path) -> Path:
    """A ledger of one accepted bundle of preset tiny."""
    make_bundle(here / "bundle")
    accept(Workspace.current().ledger, open_bundle("bundle"))
    return here / "runs" / "ledger.jsonl"


def test_the_registry_of_a_preset_names_the_head_of_the_whole_ledger(ledger: Path) -> None:
    head = json.loads(ledger.read_text().splitlines()[-1])["hash"]
    assert f"\n1 entries in runs/ledger.jsonl, chain verified, head {head[:12]}\n" in run("registry").stdout
    other = run("registry", "--preset", "512")
    assert other.stdout.splitlines()[-1].startswith("0 of 1 entries in runs/ledger.jsonl")
    assert other.stdout.endswith(f"head {head[:12]}\n")
    for arguments in ((), ("--preset", "512")):
        assert json.loads(run("registry", *arguments, "--json").stdout)["head"] == head


def test_a_ledger_without_entries_has_no_head(here: Path) -> None:
    assert run("registry").stdout.endswith("0 entries in runs/ledger.jsonl, chain verified, head empty\n")
    assert json.loads(run("registry", "--json").stdout)["head"] is None


def test_the_way_out_without_a_champion_is_one_that_the_verb_has(ledger: Path) -> None:
    fails("name one: `animatic lineage FOLDER`", "lineage")
    fails("has no champion of preset 512: ", "lineage", "--preset", "512")
    fails("name one: --bundle FOLDER", "animate", "a.png", "a ball")
    fails("name one: --bundle FOLDER", "evaluate", "data")
