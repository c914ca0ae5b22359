"""The command reports errors in one line, and exits 0 only when the work was done."""

import json
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from models.bundle import open_bundle
from orchestration.registry import Ledger
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.promotions import evaluated, promote
from tests.support.small_stages import make_bundle, small_sets, tamper


def test_help_imports_no_heavy_library():
    code = (
        "import sys; from typer.testing import CliRunner; from orchestration.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([name for name in ('torch', 'ray', 'mlflow', 'wandb', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--stage", "9"], ["train"], ["animate"]])
def test_wrong_usage_exits_with_2(here, arguments):
    assert run(*arguments).exit_code == 2


def test_a_misspelt_key_names_the_nearest_one(here):
    fails("did you mean 'train.steps'?", "train", "--stage", 1, "--preset", "tiny", "--set", "train.stpes=3")
    fails("did you mean 'crf'?", "ingest", "a.csv", "--set", "crff=3")


def test_print_config_prints_the_complete_configuration_of_a_large_preset(here):
    result = run("train", "--stage", 3, "--preset", "512", "--gpus", 8, "--print-config")
    assert result.exit_code == 0
    assert result.stdout.startswith("# config hash ")
    assert "detail_guidance: true" in result.stdout
    printed = json.loads(run("train", "--stage", 3, "--preset", "512", "--print-config", "--json").stdout)
    assert len(printed["config_hash"]) == 64 and printed["config"]["model"]["unet"]["detail_guidance"] is True


def test_missing_inputs_of_a_stage_are_reported_with_the_command_that_creates_them(here):
    fails("make train STAGE=2 PRESET=tiny", "train", "--stage", 3, "--preset", "tiny")
    fails("animatic ingest", "train", "--stage", 0, "--preset", "tiny")
    fails("no bundle at nowhere", "train", "--stage", 2, "--preset", "tiny", "--data", "x", "--set",
          "init.parent=nowhere", "--set", "init.base=nowhere")  # fmt: skip


def test_a_tampered_bundle_is_refused_by_every_verb(here):
    make_bundle(here / "bundle")
    tamper(here / "bundle")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("still.png")
    fails("tampered", "promote", "bundle")
    fails("tampered", "animate", "still.png", "a red ball", "--bundle", "bundle")
    fails("tampered", "lineage", "bundle")


def test_a_tampered_ledger_stops_promotion(here):
    make_bundle(here / "bundle")
    ledger = here / "runs" / "ledger.jsonl"
    promote(Ledger(ledger.parent), open_bundle("bundle"))
    ledger.write_text(ledger.read_text().replace('"stage":3', '"stage":2'))
    fails("cannot be trusted", "rollback")
    fails("cannot be trusted", "registry")


def test_missing_inputs_are_reported_in_one_line(here):
    fails("has no champion", "animate", "still.png", "a red ball")
    fails("has no champion", "rollback")
    fails("lists no stage-3 bundle", "promote")
    fails("no dataset", "inspect")
    fails("not a run folder", "sync", ".")
    make_bundle(here / "bundle")
    fails("no image at", "animate", "missing.png", "a red ball", "--bundle", "bundle")


def shape_of(path: str) -> tuple[int, int, int]:
    """Frames, height and width of an animation."""
    with av.open(path) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    (size,) = {frame.shape[:2] for frame in frames}
    return len(frames), *size


def test_the_champion_animates_an_image(here):
    make_bundle(here / "bundle")
    evaluated(open_bundle("bundle"), Workspace(here / "runs"), clips=24)
    promoted = run("promote", "bundle", "--json")
    assert json.loads(promoted.stdout)["kind"] == "promoted"
    assert "champion" in run("registry").stdout
    mirrored = MlflowClient(tracking_uri=f"sqlite:///{here / 'runs' / 'mlflow.db'}")
    alias = mirrored.get_model_version_by_alias("animatic-tiny", "champion")
    assert alias.tags["bundle.id"] == json.loads(promoted.stdout)["bundle_id"]
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save("still.png")

    result = run("animate", "still.png", "a red ball", "--steps", 2, "--count", 2, "--seed", 5, "--json")

    assert result.exit_code == 0, result.output
    clips = json.loads(result.stdout)["clips"]
    names = [Path(clip["mp4"]).name for clip in clips]
    assert [re.sub("-[0-9a-f]{8}-", "-", name) for name in names] == [
        "still-a-red-ball-5.mp4",
        "still-a-red-ball-6.mp4",
    ]
    for clip in clips:
        assert shape_of(clip["mp4"]) == (3, 64, 64)
        assert shape_of(clip["gif"]) == (3, 64, 64)
        assert shape_of(clip["large"]) == (3, 256, 256)


def test_a_clip_has_the_frames_asked_for_and_ends_where_asked(here):
    make_bundle(here / "bundle")
    for name, grey in (("first.png", 60), ("last.png", 200)):
        Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(name)
    verb = ("animate", "first.png", "a ball", "--bundle", "bundle", "--steps", 1, "--json")
    for ending, frames in ((("--last", "last.png"), 5), (("--loop",), 4), ((), 5)):
        result = run(*verb, *ending, "--frames", 5)
        assert result.exit_code == 0, result.output
        with av.open(json.loads(result.stdout)["clips"][0]["mp4"]) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == frames
    fails("--loop ends at the image itself", *verb, "--loop", "--last", "last.png")
    fails("mode loop needs at least 3", *verb, "--loop", "--frames", 2)


def test_a_sampling_setting_out_of_range_is_named(here):
    make_bundle(here / "bundle")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("still.png")
    fails("--eta 3.0", "animate", "still.png", "a ball", "--bundle", "bundle", "--eta", 3)
    solver = ("animate", "still.png", "a ball", "--bundle", "bundle", "--solver")
    fails("--solver euler: Input should be 'ddim', 'dpmpp_2m'", *solver, "euler")
    interval = (*solver[:-1], "--guidance-interval")
    fails("--guidance-interval 0.8,0.2: an interval is [low, high] with", *interval, "0.8,0.2")
    fails("--guidance-interval 0.8: give two numbers, LOW,HIGH", *interval, "0.8")
    fails("--eta, --solver: solver unipc adds no noise, but eta is 1", *solver, "unipc", "--eta", 1)


def test_every_setting_given_on_the_command_line_arrives(here):
    flags = [flag for text in small_sets(3) for flag in ("--set", text)]
    printed = json.loads(
        run("train", "--stage", 3, "--preset", "tiny", "--print-config", "--json", *flags).stdout
    )
    for text in small_sets(3):
        name, _, value = text.partition("=")
        found = printed["config"]
        for part in name.split("."):
            found = found[part]
        asked = yaml.safe_load(value)
        assert found == asked or (isinstance(asked, dict) and asked.items() <= found.items()), name


def test_an_interruption_is_reported_and_exits_with_130(here, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestration.workflows.doctor.examine", interrupt)
    result = run("doctor")
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr


def test_doctor_lists_checks_and_fails_if_a_needed_one_does(here, monkeypatch):
    from orchestration.workflows.doctor import Check

    found = json.loads(run("doctor", "--json").stdout)
    assert {"torch", "ray", "h264 encoder", "disk"} <= {check["name"] for check in found["checks"]}
    monkeypatch.setattr(
        "orchestration.workflows.doctor.examine", lambda _: [Check("ffmpeg", False, "missing")]
    )
    fails("not fit for work: ffmpeg", "doctor")
