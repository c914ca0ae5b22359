"""The demo, whole and real but with a tiny network: every step once, then resumed, then interrupted."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from core.files import sha256
from orchestration.demo import steps
from orchestration.demo.collection import Amounts
from orchestration.demo.outputs import STEP_TITLES
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import Settings
from orchestration.demo.step_timings import START, StepTimings
from orchestration.demo.training_parts import training_parts
from orchestration.workflows import evaluate
from orchestration.workflows.takedown import TakedownOptions, takedown
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from tests.support import command
from tests.support.command import fails
from tests.support.small_stages import make_bundle, small_sets

DONE = ["footage", "ingest", "latents", "stage 1", "stage 2", "stage 3"]
NAMES = [*DONE, "evaluate", "promote", "animate", "report"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prior") / "bundle"
    make_bundle(folder, stage=0)
    return folder


def settings(base: Path) -> Settings:
    gate = base.parent / "gate.yaml"
    gate.write_text("name: small\nfloors: {clips: 4}\nmargins: {first_frame_psnr: 1, direction: 0.2}\n")
    sets = (*small_sets(3), "train.steps=2", "train.checkpoint_every=1", f"init.base={base}")
    return Settings(
        amounts=Amounts(rendered=8, held_out_each=1, films=False, photographs=False),
        sets=(*sets, "tracking.wandb=disabled"),
        sampling_steps=2,
        unit_rows=6,
        gate=gate,
    )


def run(workspace: Workspace, base: Path) -> str:
    """Run the demo; returns what it printed."""
    output = io.StringIO()
    page = steps.run(
        workspace.root / "demo",
        Console(file=output, width=200),
        Console(file=output, width=40),
        settings=settings(base),
        workspace=workspace,
    )
    assert page == workspace.root / "demo" / "index.html"
    return output.getvalue()


def products(root: Path) -> dict[str, int]:
    """Every file that must not be made twice, with its time of writing; pages are written each time."""
    kept = (
        "*/bundle/*",
        "demo/data/*",
        "demo/data/latents/*",
        "demo/held-out/*",
        "demo/evaluation/*/*",
        "demo/animations/*",
    )
    paths = [path for pattern in kept for path in root.glob(pattern) if path.is_file()]
    made = [path for path in paths if path.name not in (".lock", "index.html")]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in made}


@pytest.mark.slow
def test_demo_goes_from_footage_to_a_page_and_then_has_nothing_left_to_do(base, tmp_path):
    workspace = Workspace(tmp_path / "runs")

    first = run(workspace, base)

    demo = workspace.root / "demo"
    rejected = json.loads((demo / "data" / "dataset.json").read_text())["counts"]
    assert (rejected["rows"], rejected["samples"], rejected["rejected_rows"]) == (11, 8, 3)
    champion = workspace.ledger.champion("tiny")
    assert champion is not None
    assert champion.stage == 3
    assert [entry.kind for entry in workspace.ledger.entries()] == [*["accepted"] * 3, "promoted"]
    assert champion.gate is not None
    report = json.loads(next(demo.glob(f"evaluation/{champion.bundle_id[:12]}-*/report.json")).read_text())
    assert (champion.gate.outcome, champion.gate.report) == ("PASS", report["digest"])
    assert (workspace.root / "promotions" / f"report-{report['digest']}.json").exists()
    page = (demo / "index.html").read_text()
    assert "passed the gate" in page and "4, at least 4 are required" in page
    assert champion.bundle_id[:12] in page
    assert "has not been" not in page
    assert (demo / "readme.gif").read_bytes().startswith(b"GIF")
    assert list(StepTimings(demo).read()) == [START, *NAMES]
    for stage in (1, 2, 3):
        config = next(workspace.root.glob(f"tiny-stage{stage}-*/config.yaml")).read_text()
        assert f"latents: {demo}/data/latents\n" in config
    assert list(StepTimings(demo).read()["stage 2"].parts) == ["starting", "training", "finishing"]
    for text in (
        "direction right in",
        str(demo / "index.html"),
        "make animate",
        "mlflow ui",
        champion.bundle_id[:12],
    ):
        assert text in first

    before = products(workspace.root)
    second = run(workspace, base)

    assert second.count("already done") == len(NAMES) - 1  # the page is written each time
    assert "nothing left to do" in second
    assert "nothing left to do" not in first
    assert second.count("(less than a minute left)") == len(NAMES)
    assert products(workspace.root) == before
    assert len(workspace.ledger.entries()) == 4

    (demo / "evaluation").rename(tmp_path / "gone")
    run(workspace, base)
    after = products(workspace.root)
    assert {name: when for name, when in after.items() if "evaluation" not in name} == {
        name: when for name, when in before.items() if "evaluation" not in name
    }
    assert after.keys() == before.keys()


@pytest.mark.slow
def test_demo_interrupted_between_and_inside_steps_carries_on(base, tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / "runs")
    evaluate_all = evaluate.evaluate_all

    def interrupt(planned, on_progress):
        evaluate_all(planned[:1], on_progress)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, base)
    demo = workspace.root / "demo"
    assert not (demo / "index.html").exists()
    notes = StepTimings(demo).read()
    assert notes["stage 3"].complete
    assert not notes["evaluate"].complete
    before = products(workspace.root)

    monkeypatch.setattr(evaluate, "evaluate_all", evaluate_all)
    second = run(workspace, base)

    assert second.count("already done") == len(DONE)
    kept = products(workspace.root)
    assert {name: kept[name] for name in before} == before
    assert StepTimings(demo).read()["evaluate"].complete


def test_every_step_follows_those_that_it_needs():
    done: set[str] = set()
    for step in steps.all_steps():
        assert done >= set(step.needs)
        done.add(step.name)
    assert list(STEP_TITLES) == [step.name for step in steps.all_steps()]


def test_time_left_follows_the_pace_of_the_steps_done():
    progress = DemoProgress(Console(file=io.StringIO()), [60, 60, 120])
    assert progress.seconds_left(0, 0) == 240
    progress._taken[0] = 180  # three times as slow as expected
    assert progress.seconds_left(1, 0) == pytest.approx(180 * 2)
    progress._taken[0] = 0.1  # done in an earlier run: no sign of a fast machine
    assert progress.seconds_left(1, 0) == 180


def test_seconds_of_interrupted_attempts_add_up_and_finished_ones_are_replaced(tmp_path):
    note = StepTimings(tmp_path)
    with pytest.raises(KeyboardInterrupt), note.timing("ingest"):
        raise KeyboardInterrupt
    interrupted = note.read()["ingest"]
    assert not interrupted.complete
    with note.timing("ingest"):
        pass
    assert note.read()["ingest"].complete
    with note.timing("ingest") as timed:
        timed.fresh = False
    assert note.read()["ingest"].seconds >= interrupted.seconds


def test_parts_of_a_step_are_summed_with_it_and_the_start_of_each_process_comes_first(tmp_path):
    note = StepTimings(tmp_path)
    with pytest.raises(KeyboardInterrupt), note.timing("ingest") as first:
        first.add({"starting Ray": 2.0})
        raise KeyboardInterrupt
    with note.timing("ingest") as second:
        second.add({"starting Ray": 3.0, "footage": 1.5})
    note.add_start(1.25)
    note.add_start(0.5)

    assert list(note.read()) == [START, "ingest"]
    assert note.read()[START].seconds == 1.75
    assert note.read()["ingest"].parts == {"starting Ray": 5.0, "footage": 1.5}


def test_a_training_step_consists_of_starting_training_and_finishing(tmp_path):
    def journal(*lines: tuple[float, str]) -> None:
        text = "".join(json.dumps({"time": at, "event": event, "step": 1}) + "\n" for at, event in lines)
        (tmp_path / "journal.jsonl").write_text(text)

    journal((90, "start"), (95, "metrics"), (110, "start"), (112, "metrics"), (140, "metrics"), (144, "end"))
    assert training_parts(tmp_path, 100, 145) == {"starting": 10, "training": 30, "finishing": 5}
    # A run that another machine finished has trained nothing in this step.
    assert training_parts(tmp_path, 120, 145) == {}


def digests(root: Path) -> dict[str, str]:
    """The sha256 of every file of the workspace except logs and trackers."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): sha256(path) for path in files}


@pytest.mark.slow
def test_a_video_is_taken_down_from_the_demo_s_datasets(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(Path("runs"))
    run(workspace, base)
    demo, before = workspace.root / "demo", digests(workspace.root)
    chosen = [Dataset.open(demo / name).samples["source_id"][1].as_py() for name in ("data", "held-out")]
    champion = workspace.ledger.champion("tiny")
    options = TakedownOptions((f"{demo}/data", f"{demo}/held-out"), tuple(chosen), reason="a person asks")

    report = takedown(options, workspace, lambda done, total: None)

    after = digests(workspace.root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    records = ("dataset.json", "rejects.parquet", "samples.parquet", "takedowns.json")
    shards = [
        (Path(each.plan.dataset).name, unit.unit) for each in report.datasets for unit in each.plan.units
    ]
    assert changed == {
        *(f"demo/{name}/{record}" for name in ("data", "held-out") for record in records),
        *(f"demo/{name}/shard-{unit:06d}.tar" for name, unit in shards),
        *(f"demo/{name}/units/unit-{unit:06d}.json" for name, unit in shards),
        *(f"demo/data/latents/{record}" for record in ("latents.json", "latents.parquet")),
        *(f"demo/data/latents/latents-{unit:06d}.tar" for name, unit in shards if name == "data"),
        *(f"demo/data/latents/units/unit-{unit:06d}.json" for name, unit in shards if name == "data"),
    }
    assert len(shards) == 2
    assert verify(demo / "data", deep=True) == verify(demo / "held-out", deep=True) == []
    seen = {(each.kind, each.name) for each in report.seen if each.certain}
    assert ("alias", "champion of tiny") in seen
    assert champion.bundle_id in {each.digest for each in report.seen}
    assert [each.kind for each in report.seen].count("run") == 3
    assert any("evaluation" in copies.path for copies in report.copies)
    assert_runs_do_not_resume(workspace)


def assert_runs_do_not_resume(workspace: Workspace) -> None:
    folder = next(workspace.root.glob("tiny-stage1-*"))
    again = ("train", "--stage", 1, "--preset", "tiny", "--config", folder / "config.yaml", "--out", folder)
    fails("before videos were taken down on", *again)
    shutil.rmtree(folder / "bundle")
    refused = command.run(*again)
    assert refused.exit_code == 1
    assert "was trained on videos that were taken down on" in refused.stderr
