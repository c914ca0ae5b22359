"""Metrics on features, through the job with tiny networks: values, what they record, floors and ceilings."""

import dataclasses
import itertools

import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.evaluate import measure_clips
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.features import identify, open_extractor
from pipelines.evaluate.metrics import REGISTRY
from pipelines.evaluate.statistics.frechet import frechet_distance
from pipelines.evaluate.statistics.kernel import blocks_of_sources, kernel_distance
from pipelines.evaluate.statistics.moments import Moments
from tests.support.evaluations import CHUNK, plan_of, write_report
from tests.support.extractors import FRAMES, write_clip, write_dreamsim, write_i3d, write_videomae

CLIPS = CHUNK + 3
SETS = ("fvd", "kvd", "videomae_frechet", "videomae_kernel")
ROWS = ("pic", "clip_pic", "clip_text", "clip_consistency")
NAMES = (*SETS, *ROWS)


def pair(number, generated=None):
    """A clip of noise that drifts; two clips come from each source."""
    rng = np.random.default_rng(number)
    start, end = rng.integers(0, 256, (2, 24, 32, 3))
    steps = np.linspace(0, 0.6, FRAMES)[:, None, None, None]
    real = (start + steps * (end - start)).astype(np.uint8)
    made = (
        (0.7 * real + 40 * rng.random(real.shape)).astype(np.uint8) if generated is None else generated(real)
    )
    clip = RealClip(f"clip-{number}", f"scene {number}", 8.0, real, source=f"video-{number // 2}")
    return ClipPair(clip, made)


PAIRS = [pair(number) for number in range(CLIPS)]


@pytest.fixture(scope="module")
def extractors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractors")
    return {
        "i3d": str(write_i3d(folder / "i3d.pt")),
        "videomae": str(write_videomae(folder / "videomae")),
        "dreamsim": str(write_dreamsim(folder / "dreamsim.pt")),
        "clip": str(write_clip(folder / "clip")),
    }


@pytest.fixture(scope="module")
def report(extractors, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report"), PAIRS, metrics=NAMES, extractors=extractors)


@pytest.fixture(scope="module")
def vectors(extractors):
    """Features by extractor, of real and of generated clips, computed clip by clip."""
    found = {}
    for name, file in identify(extractors).items():
        network = open_extractor(file, "cpu")
        found[name] = [
            np.concatenate([network.clips(getattr(each, side)[None]) for each in PAIRS])
            for side in ("real", "generated")
        ]
    return found


def cosine(one, two):
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_metrics_whose_extractor_is_given_are_measured_by_default(extractors, tmp_path):
    given = {"clip": extractors["clip"]}
    metrics = write_report(tmp_path / "report", PAIRS[:2], extractors=given)["metrics"]
    assert {"clip_pic", "clip_text", "clip_consistency", "first_frame_psnr"} <= set(metrics)
    assert not {"fvd", "pic", "videomae_kernel"} & set(metrics)


@pytest.mark.parametrize(("name", "extractor"), [("fvd", "i3d"), ("videomae_frechet", "videomae")])
def test_frechet_metrics_are_the_distance_of_all_clips_without_an_interval(report, vectors, name, extractor):
    real, generated = (Moments.of([side], "rows") for side in vectors[extractor])
    value = report["metrics"][name]
    assert value["value"] == pytest.approx(frechet_distance(real, generated), rel=1e-6)
    assert (value["low"], value["high"], value["n"], value["better"]) == (None, None, CLIPS, "lower")
    assert value["details"]["covariance"] == "n"


@pytest.mark.parametrize(("name", "extractor"), [("kvd", "i3d"), ("videomae_kernel", "videomae")])
def test_kernel_metrics_leave_out_whole_sources(report, vectors, name, extractor):
    blocks = blocks_of_sources([each.clip.source for each in PAIRS])
    expected = kernel_distance(*vectors[extractor], blocks)
    value = report["metrics"][name]
    assert [value["value"], value["low"], value["high"]] == pytest.approx(expected.interval, rel=1e-4)
    assert value["details"]["blocks"] == value["details"]["sources"] == (CLIPS + 1) // 2


def test_rows_have_the_mean_cosine_of_frames_to_picture_caption_and_successor(report, vectors, extractors):
    number = CHUNK + 1
    row = next(row for row in report["clips"] if row["key"] == f"clip-{number}")["metrics"]
    for metric, extractor in (("pic", "dreamsim"), ("clip_pic", "clip")):
        real, generated = (side[number] for side in vectors[extractor])
        assert row[metric] == pytest.approx(
            np.mean([cosine(real[0], frame) for frame in generated]), rel=1e-5
        )
        assert row[f"{metric}_on_real"] == pytest.approx(
            np.mean([cosine(real[0], frame) for frame in real]), rel=1e-5
        )
    frames = vectors["clip"][1][number]
    text = open_extractor(identify(extractors)["clip"], "cpu").texts([f"scene {number}"])[0]
    assert row["clip_text"] == pytest.approx(np.mean([cosine(text, frame) for frame in frames]), rel=1e-4)
    successive = [cosine(*both) for both in itertools.pairwise(frames)]
    assert row["clip_consistency"] == pytest.approx(np.mean(successive), rel=1e-5)


def test_every_value_records_its_circumstances(report, extractors):
    for name in NAMES:
        value, extractor = report["metrics"][name], REGISTRY[name].extractor
        file = identify(extractors)[extractor]
        details = value["details"]
        assert details["extractor_sha256"] == file.digest
        assert {"frames", "stride", "seed", "resize", "extractor"} <= set(details)
        assert value["version"] == f"{name}/1+{extractor}-{file.digest[:12]}"


def test_the_same_clips_have_no_distance_and_a_frozen_clip_conforms_fully(extractors, tmp_path):
    same = [pair(number, generated=lambda real: real) for number in range(CLIPS)]
    videos = {name: extractors[name] for name in ("i3d", "videomae")}
    metrics = write_report(tmp_path / "same", same, metrics=SETS, extractors=videos)["metrics"]
    for name in ("fvd", "videomae_frechet"):
        assert metrics[name]["value"] == pytest.approx(0, abs=1e-6)
    assert metrics["kvd"]["value"] < 0  # unbiased: below 0 for a sample against itself
    frozen = [pair(number, generated=lambda real: np.repeat(real[:1], FRAMES, axis=0)) for number in range(3)]
    pictures = {name: extractors[name] for name in ("dreamsim", "clip")}
    report = write_report(tmp_path / "frozen", frozen, metrics=ROWS, extractors=pictures)
    for name in ("pic", "clip_pic", "clip_consistency"):
        assert report["metrics"][name]["value"] == pytest.approx(1, abs=1e-6)
    assert report["metrics"]["pic_on_real"]["value"] < 0.999
    assert len(report["frozen"]) == 3


def test_adding_extractors_later_gives_the_same_report(report, extractors, tmp_path):
    first = {"i3d": extractors["i3d"]}
    partial = write_report(tmp_path / "later", PAIRS, metrics=["kvd"], extractors=first)
    assert set(partial["metrics"]) == {"kvd"}
    assert write_report(tmp_path / "later", PAIRS, metrics=NAMES, extractors=extractors) == report


def test_a_distance_of_one_clip_is_refused(extractors, tmp_path):
    with pytest.raises(AnimaticError, match="metric fvd needs at least 2 clips, not 1"):
        write_report(tmp_path / "one", PAIRS[:1], metrics=["fvd"], extractors=extractors)


def test_features_that_are_not_finite_are_refused_by_clip(tmp_path, extractors):
    import torch
    from torch import nn

    from tests.support.extractors import write_script

    class Broken(nn.Module):
        def forward(
            self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
        ) -> torch.Tensor:
            return x.mean(dim=[2, 3, 4]) / 0 * 0

    path = write_script(Broken(), tmp_path / "broken.pt")
    with pytest.raises(
        AnimaticError, match="clip clip-0: extractor i3d makes features of it that are not finite"
    ):
        write_report(tmp_path / "broken", PAIRS[:3], metrics=["fvd"], extractors={"i3d": str(path)})


@pytest.mark.slow
def test_one_and_two_workers_write_the_same_report(extractors, tmp_path):
    written = []
    for workers in (1, 2):
        plan = plan_of(tmp_path / str(workers), PAIRS, metrics=NAMES, extractors=extractors)
        config = plan.config.model_copy(update={"workers": workers})
        measure_clips(dataclasses.replace(plan, config=config))
        written.append(plan.report.read_bytes())
    assert written[0] == written[1]
