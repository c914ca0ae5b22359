"""``compare``, ``gate`` and ``promote`` print verdicts, decisions and what was forced."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.bundle import BundleOrigin, open_bundle, write_bundle
from orchestration.demo.footage import FPS, draw_scene, encode, render
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.promotions import GATE, evaluated, report_for, store
from tests.support.small_stages import make_bundle


@pytest.fixture
def place(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a gate, without the mirror in MLflow."""
    monkeypatch.setattr("orchestration.registry.mirror_change", lambda *_: None)
    (here / "gate.yaml").write_text(GATE)
    return here


def test_compare_prints_a_verdict_for_each_metric(place: Path) -> None:
    store(report_for("a" * 64, noise=4.0), place / "a.json")
    store(report_for("b" * 64, noise=12.0), place / "b.json")
    result = run("compare", "a.json", "b.json", "--gate", "gate.yaml")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert lines["first_frame_psnr"].endswith("worse")
    assert lines["dynamic_degree"].endswith("not worse")
    assert "A bundle tiny stage 3 (aaaaaaaaaaaa): a.json" in result.stdout

    compared = json.loads(run("compare", "b.json", "a.json", "--json").stdout)["comparison"]
    verdicts = {metric["name"]: metric["verdict"] for metric in compared["metrics"]}
    assert verdicts["first_frame_psnr"] == "better"

    store(report_for("b" * 64, clips=8), place / "fewer.json")
    fails("a.json and fewer.json cannot be compared: their protocol.data differs", "compare", "a.json",
          "fewer.json")  # fmt: skip
    fails("report none.json cannot be read: No such file", "compare", "a.json", "none.json")


def test_a_folder_names_the_report_in_it(place: Path) -> None:
    for name in ("one", "two"):
        (place / name).mkdir()
        store(report_for(name[0] * 64), place / name / "report.json")
    assert run("compare", "one", "two/report.json").exit_code == 0
    assert "gate tiny" in run("gate", "one").output
    fails("report two/none/report.json cannot be read", "compare", "one", "two/none/report.json")


def test_a_refused_promotion_prints_every_check_and_one_error(place: Path) -> None:
    workspace = Workspace(place / "runs")
    for name, noise in (("good", 4.0), ("bad", 12.0)):
        make_bundle(place / name, made_for=name)
        evaluated(open_bundle(name), workspace, noise=noise)
    promoted = run("promote", "good", "--gate", "gate.yaml")
    assert promoted.exit_code == 0, promoted.output
    assert "gate tests: PASS" in promoted.stdout

    fails("gate tests: FAIL: first_frame_psnr: ", "promote", "bad", "--gate", "gate.yaml")
    refused = run("promote", "bad", "--gate", "gate.yaml")
    assert "margin  dynamic_degree    PASS" in refused.stdout
    assert "margin  first_frame_psnr  FAIL" in refused.stdout
    report = next((place / "runs" / "evaluations").glob(f"{open_bundle('bad').id[:12]}*/report.json"))
    fails("gate tests: FAIL", "gate", report, "--gate", "gate.yaml")
    for command in (("promote", "bad"), ("gate", report)):
        printed = json.loads(run(*command, "--gate", "gate.yaml", "--json").stdout)
        assert printed["gate"]["outcome"] == "FAIL"
        assert printed["reports"][0].endswith(str(report.relative_to(place)))
    fails("did you mean 'floors.clips'?", "promote", "bad", "--gate", broken(place))


def broken(place: Path) -> Path:
    path = place / "broken.yaml"
    path.write_text("name: a\nfloors: {clip: 1}\n")
    return path


def test_force_needs_a_reason_and_is_printed_for_ever(place: Path) -> None:
    make_bundle(place / "bundle")
    fails("has no report in", "promote", "bundle")
    assert run("promote", "bundle", "--force").exit_code == 2
    assert run("promote", "bundle", "--force", "--reason", "  ").exit_code == 2
    fails("--reason is without effect without --force", "promote", "bundle", "--reason", "why")
    forced = run("promote", "bundle", "--force", "--reason", "published weights")
    assert forced.exit_code == 0, forced.output
    assert "forced: published weights" in forced.stdout
    assert "champion, forced: published weights" in run("registry").stdout
    assert "was promoted by force: published weights" in run("lineage").stdout
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("still.png")
    animated = run("animate", "still.png", "a ball", "--steps", 1)
    assert "promoted without the gate's consent: published weights" in animated.stderr


def test_the_registry_warns_of_evidence_that_was_changed(place: Path) -> None:
    make_bundle(place / "bundle")
    evaluated(open_bundle("bundle"), Workspace(place / "runs"))
    run("promote", "bundle", "--gate", "gate.yaml")
    again = run("promote", "bundle", "--report", "none.json")
    assert "is champion already: no report was judged" in " ".join(again.stderr.split())
    assert "PASS" not in again.stdout
    assert run("registry").stderr == ""
    for path in (place / "runs" / "promotions").iterdir():
        path.unlink()
    warned = " ".join(run("registry").stderr.split())
    assert "report " in warned and "gate " in warned and warned.count("is missing") == 2


def with_noise(source: str, folder: Path, scale: float) -> None:
    """A copy of a bundle with Gaussian noise of standard deviation ``scale`` added to its weights."""
    bundle, generator = open_bundle(source), torch.Generator().manual_seed(0)
    state = {
        name: value + scale * torch.randn(value.shape, generator=generator)
        for name, value in load_file(bundle.folder / "model.safetensors").items()
    }
    info = bundle.info
    write_bundle(
        folder,
        state,
        BundleOrigin(
            architecture=info.architecture,
            stage=info.stage,
            preset=info.preset,
            config_hash=info.config_hash,
            dataset_digest=info.dataset_digest,
            parent=None,
            sampling=info.sampling,
        ),
        model_card="# damaged\n",
    )


def test_an_equal_bundle_is_not_worse_and_a_damaged_one_is(place: Path) -> None:
    """From bundles to the ledger, with real evaluations of a tiny network."""
    (place / "clips").mkdir()
    for index in range(6):
        scene = draw_scene(3, index)
        encode(render(scene, frames=12, size=64), place / "clips" / f"scene-{index}.mp4", FPS)
        (place / "clips" / f"scene-{index}.txt").write_text(scene.caption)
    (place / "gate.yaml").write_text("name: loss\nfloors: {clips: 6}\nmargins: {denoising_loss: 0.01}\n")
    for name in ("first", "equal"):
        make_bundle(place / name, made_for=name)
    with_noise("first", place / "damaged", 0.1)
    for name in ("first", "equal", "damaged"):
        measured = run("evaluate", "clips", "--bundle", name, "--steps", 1, "--workers", 0, "--metrics",
                       "denoising_loss,first_frame_psnr")  # fmt: skip
        assert measured.exit_code == 0, measured.output
    assert run("promote", "first", "--gate", "gate.yaml").exit_code == 0

    passed = run("promote", "equal", "--gate", "gate.yaml", "--json")
    assert passed.exit_code == 0, passed.output
    (check,) = [each for each in json.loads(passed.stdout)["gate"]["checks"] if each["kind"] == "margin"]
    assert (check["verdict"], check["difference"], check["n"]) == ("not worse", 0.0, 6)

    refused = run("promote", "damaged", "--gate", "gate.yaml", "--json")
    assert refused.exit_code == 1
    (check,) = [each for each in json.loads(refused.stdout)["gate"]["checks"] if each["kind"] == "margin"]
    assert (check["verdict"], check["outcome"]) == ("worse", "FAIL")
    assert check["difference"] > 0.01
