"""Calibrating a bundle: what is measured at rising values decides the curve, other pictures its error."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.errors import AnimaticError
from models.asked_motion import motion_value
from models.bundle import open_bundle
from orchestration.cli import app
from orchestration.workflows.calibrate_motion import (
    CalibratedBundle,
    CalibrateOptions,
    calibrate,
    prepare_calibration,
)
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from tests.support.adapters import write_adapter, write_base
from tests.support.coded_clips import build_dataset
from tests.support.filmed import Filmed
from tests.support.motion import MOTION, conditioned_bundle, with_motion
from tests.support.small_stages import make_bundle

# At 12 frames a second and a stride of 3: 0.1 to 1.6 percent of the short side a frame of a sample.
SPEEDS = np.geomspace(0.4, 6.4, 8)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = build_dataset(tmp_path_factory.mktemp("data") / "d", [12] * 8)
    with_motion(dataset, [[float(speed)] * 6 for speed in SPEEDS])
    return dataset


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conditioned_bundle(tmp_path_factory.mktemp("bundles") / "b")


@cache
def clip(speed: float, seed: int) -> torch.Tensor:
    """A disc that moves by ``speed`` pixels in a frame, (t 3 h w) in [-1, 1]."""
    frames = np.stack(Filmed((1.0, 0.0), (1.0 + speed, 0.0), seed=seed).frames())
    return torch.from_numpy(frames).float().div(127.5).sub(1)[:, None].expand(-1, 3, -1, -1)


def network(monkeypatch: pytest.MonkeyPatch, speed) -> list[float]:
    """Clips move by a function of what the network is given; returns what was asked for."""
    asked: list[float] = []

    def animate(animator, images, prompts, settings, *, seeds):
        asked.append(settings.motion)
        given = motion_value(animator.architecture, settings.motion)
        return torch.stack([clip(round(speed(given), 4), seed % 2) for seed in seeds])

    monkeypatch.setattr("models.animate.animate", animate)
    return asked


def calibrated(folder: Path, data: Dataset, bundle: Path, **changes) -> CalibratedBundle:
    options = CalibrateOptions(
        **{"data": data.url, "bundle": str(bundle), "out": folder / "c", "clips": 2, "levels": 4} | changes
    )
    plan = prepare_calibration(options, Workspace(folder / "runs"))
    return calibrate(plan, lambda done, total: None)


def test_clips_of_the_calibrated_bundle_move_as_asked(tmp_path, measured, bundle, monkeypatch) -> None:
    network(monkeypatch, lambda given: 3 * given**0.6)
    made = calibrated(tmp_path, measured, bundle)
    assert made.calibration.error < 0.15 and made.calibration.doubling_error < 0.15
    assert len(made.tests) >= 2
    for each in made.tests:
        assert each.measured == pytest.approx(each.asked, rel=0.15)
    opened, before = open_bundle(made.folder), open_bundle(bundle)
    assert opened.info.architecture.motion_calibration == made.calibration
    assert opened.info.extra["calibrated"] == before.id and opened.id == made.id
    assert opened.info.files["model.safetensors"] == before.info.files["model.safetensors"]
    unchanged = {"architecture", "extra", "files", "code_version"}
    assert opened.info.model_dump(exclude=unchanged) == before.info.model_dump(exclude=unchanged)
    assert "| asked | measured |" in opened.card and opened.card.startswith("# A network")
    low, high = made.calibration.range
    sampling_settings(opened, SamplingOptions(motion=(low + high) / 2))
    with pytest.raises(AnimaticError, match="is not within"):
        sampling_settings(opened, SamplingOptions(motion=high * 1.1))


def test_a_calibrated_bundle_can_be_calibrated_again(tmp_path, measured, bundle, monkeypatch) -> None:
    network(monkeypatch, lambda given: 3 * given**0.6)
    made = calibrated(tmp_path, measured, bundle)
    again = calibrated(tmp_path / "again", measured, made.folder)
    assert again.calibration == made.calibration


def test_the_values_are_those_of_the_data_from_little_to_much(
    tmp_path, measured, bundle, monkeypatch
) -> None:
    asked = network(monkeypatch, lambda given: 3 * given)
    calibrated(tmp_path, measured, bundle, batch=1, levels=5)
    values = asked[:10:2]
    assert values == sorted(values) and 0.1 <= values[0] < 0.3 and 1.0 < values[-1] <= 1.6
    ratios = np.diff(np.log(values))
    assert ratios == pytest.approx([ratios[0]] * 4)


def test_the_error_is_of_pictures_that_the_curve_was_not_fitted_to(
    tmp_path, measured, bundle, monkeypatch
) -> None:
    def animate(animator, images, prompts, settings, *, seeds):
        given = motion_value(animator.architecture, settings.motion)
        others = min(seeds) % 1_000_003 >= 2
        return torch.stack([clip(round((4.5 if others else 3.0) * given, 4), 0) for _ in seeds])

    monkeypatch.setattr("models.animate.animate", animate)
    made = calibrated(tmp_path, measured, bundle, given=(0.25, 1.0), levels=3)
    assert made.calibration.error > 0.3


def test_values_and_amplification_may_be_chosen(tmp_path, measured, bundle, monkeypatch) -> None:
    asked = network(monkeypatch, lambda given: 3 * given)
    made = calibrated(tmp_path, measured, bundle, given=(0.25, 1.0), levels=3, amplification=2.5)
    assert asked[:3] == pytest.approx([0.25, 0.5, 1.0])
    assert made.calibration.amplification == 2.5 and made.calibration.given == pytest.approx((0.25, 0.5, 1))
    assert open_bundle(made.folder).info.architecture.motion_calibration == made.calibration
    assert made.calibration.error < 0.15


@pytest.mark.parametrize(
    "given", [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (1.0, 101.0), (np.nan, 1.0)]
)
def test_values_that_no_network_can_be_given_are_refused(tmp_path, measured, bundle, given) -> None:
    with pytest.raises(AnimaticError, match=r"--given .*: give the least and the most motion, above 0"):
        calibrated(tmp_path, measured, bundle, given=given)


@pytest.mark.parametrize("factor", [0.5, 21.0, float("nan")])
def test_amplifications_out_of_range_are_refused(tmp_path, measured, bundle, factor: float) -> None:
    with pytest.raises(AnimaticError, match=r"--amplification .*: give a number from 1 to 20"):
        calibrated(tmp_path, measured, bundle, amplification=factor)


def test_a_network_that_does_not_follow_is_refused(tmp_path, measured, bundle, monkeypatch) -> None:
    for number, speed in enumerate((lambda given: 2.0, lambda given: 4.0 - given)):
        network(monkeypatch, speed)
        with pytest.raises(AnimaticError, match=r"do not move more where .* more motion \(measured .* for"):
            calibrated(tmp_path / str(number), measured, bundle)
    assert not list(tmp_path.glob("*/c"))


def test_what_cannot_be_calibrated_is_refused_before_anything_is_sampled(tmp_path, measured, bundle) -> None:
    plain = tmp_path / "plain"
    make_bundle(plain)
    (tmp_path / "there").mkdir()
    still = build_dataset(tmp_path / "still", [12] * 4)
    with_motion(still, [[3.0] * 6] * 4)
    unmeasured = build_dataset(tmp_path / "unmeasured", [12] * 4)
    write_base(tmp_path / "base", 3, torch.float32, MOTION)
    adapter = write_adapter(tmp_path / "run", tmp_path / "base", MOTION)
    for changes, problem in (
        ({"bundle": adapter}, "is of an adapter.*: merge it with `animatic merge`"),
        ({"bundle": plain}, r"no motion condition: train one with --set model\.unet\.motion_condition=true"),
        ({"out": tmp_path / "there"}, "exists: bundles are never overwritten"),
        ({"clips": 5}, r"has 8 clips that are long enough, and 10 are needed: twice --clips 5"),
        ({"data": still}, "some move at least twice as much as others"),
        ({"data": unmeasured}, "no column subject_motion_course .*run `animatic score"),
    ):
        with pytest.raises(AnimaticError, match=problem):
            calibrated(
                tmp_path / "o", changes.pop("data", measured), changes.pop("bundle", bundle), **changes
            )


def test_the_verb_prints_what_was_measured(tmp_path, measured, bundle, monkeypatch) -> None:
    network(monkeypatch, lambda given: 3 * given)
    monkeypatch.chdir(tmp_path)
    arguments = ["calibrate-motion", measured.url, "--bundle", str(bundle), "--clips", "2", "--levels", "3"]
    done = CliRunner().invoke(app, [*arguments, "--out", "one"])
    assert done.exit_code == 0, done.output
    assert "motion asked for" in done.stdout and "largest error" in done.stdout and "one" in done.stdout
    as_json = CliRunner().invoke(app, [*arguments, "--out", "two", "--json"])
    printed = json.loads(as_json.stdout)
    assert printed["calibration"]["clips"] == 2 and len(printed["bundle_id"]) == 64
    assert {"asked", "measured"} == printed["tests"][0].keys()
