"""The report: figures that follow from the rows, equal bytes, and every damage refused with its reason."""

import json

import numpy as np
import pytest

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate import read_report
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.report import report_digest
from tests.support.evaluations import write_report

CLIPS = 9


def pair(number):
    scene = draw_scene(3, number)
    pixels = render(scene, frames=6, size=32)
    caption = "a boat" if number == 2 else scene.caption
    generated = np.clip(pixels.astype(int) + number, 0, 255).astype(np.uint8)
    if number == 3:
        generated = generated[:1].repeat(6, axis=0)
    if number == 4:
        generated[3] = 0
    return ClipPair(RealClip(f"clip-{number}", caption, 8.0, pixels, f"video-{number // 2}"), generated)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    write_report(folder, [pair(number) for number in range(CLIPS)])
    return folder


@pytest.fixture
def document(folder):
    return json.loads((folder / "report.json").read_bytes())


@pytest.fixture
def refused(tmp_path):
    """Asserts that a changed report, its digest recomputed if ``signed``, is refused for this reason."""

    def check(document, reason, signed=True):
        path = tmp_path / "report.json"
        if signed:
            document = {**document, "digest": report_digest(document)}
        path.write_text(json.dumps(document))
        with pytest.raises(AnimaticError, match=reason) as raised:
            read_report(path)
        assert str(raised.value).count("\n") == 0 and "rerun animatic evaluate" in str(raised.value)

    return check


def test_the_report_is_canonical_and_read_as_written(folder, document):
    assert (folder / "report.json").read_bytes() == canonical_json(document)
    assert read_report(folder / "report.json") == document
    assert not any("seconds" in name or "time" in name for name in document)
    timings = json.loads((folder / "timings.json").read_text())
    assert timings.keys() == {"generate_s", "measure_s"} and timings["generate_s"] == 2


def test_values_follow_from_the_rows(document):
    psnr = document["metrics"]["first_frame_psnr"]
    values = [row["metrics"]["first_frame_psnr"] for row in document["clips"]]
    assert psnr["value"] == pytest.approx(np.mean(values))
    assert psnr["low"] < psnr["value"] < psnr["high"]
    assert (psnr["n"], psnr["unit"], psnr["better"]) == (CLIPS, "dB", "higher")
    assert psnr["version"] == "first_frame_psnr/1"
    assert psnr["details"] | {"frames": 6, "stride": 1, "seed": 0, "sources": 5} == psnr["details"]
    # A caption that names no direction does not count.
    assert document["metrics"]["direction"]["n"] == CLIPS - 1
    assert document["clips"][2]["metrics"]["direction"] is None


def test_frozen_and_black_clips_are_named(document):
    assert document["frozen"] == ["clip-3"]
    assert document["black"] == ["clip-4"]
    assert document["clips"][3]["metrics"]["dynamic_degree"] == 0
    assert document["metrics"]["dynamic_degree"]["value"] < 1


def test_a_picture_that_is_dark_itself_makes_no_black_clip(tmp_path):
    dark = np.full((6, 32, 32, 3), 4, np.uint8)
    report = write_report(tmp_path, [ClipPair(RealClip("night", "stars", 8.0, dark, "night"), dark)])
    assert (report["black"], report["frozen"]) == ([], ["night"])
    # One clip has a value and no interval.
    assert report["metrics"]["flicker"]["low"] is None


def test_a_metric_that_applies_to_no_clip_has_no_value(tmp_path):
    clip = pair(2)
    report = write_report(tmp_path, [clip])
    assert "direction" not in report["metrics"]
    assert report["clips"][0]["metrics"]["direction"] is None


def test_clips_of_one_source_widen_the_interval(tmp_path):
    pairs = [pair(number) for number in range(12)]
    alone = [
        ClipPair(RealClip(p.clip.key, p.clip.caption, 8.0, p.real, p.clip.key), p.generated) for p in pairs
    ]
    clustered = write_report(tmp_path / "a", pairs)["metrics"]["first_frame_psnr"]
    independent = write_report(tmp_path / "b", alone)["metrics"]["first_frame_psnr"]
    assert clustered["value"] == pytest.approx(independent["value"])
    assert clustered["high"] - clustered["low"] > independent["high"] - independent["low"]


def test_another_format_is_refused(document, refused):
    refused({**document, "format": 1}, r"is of format 1, this version reads format 2")
    refused([document], "is of format None", signed=False)


def test_a_changed_figure_is_refused(document, refused):
    document["metrics"]["flicker"]["value"] /= 2
    refused(document, "does not match its digest: it was edited", signed=False)
    refused(document, "was edited: the value of flicker is not that of its clips")


@pytest.mark.parametrize("name", ["low", "high", "n"])
def test_a_changed_interval_is_refused(document, refused, name):
    document["metrics"]["dynamic_degree"][name] -= 1
    refused(document, "was edited: the value of dynamic_degree is not that of its clips")


@pytest.mark.parametrize(("field", "value"), [("better", "lower"), ("unit", "1")])
def test_another_direction_or_unit_than_the_metrics_is_refused(document, refused, field, value):
    document["metrics"]["first_frame_psnr"][field] = value
    refused(document, "was edited: the unit or the better direction of first_frame_psnr is not that of the")


def test_missing_or_repeated_clips_are_refused(document, refused):
    clips = document["clips"]
    refused({**document, "clips": clips[1:]}, "its clips are not those of its protocol")
    refused({**document, "clips": clips[::-1]}, "its clips are not those of its protocol")
    refused({**document, "clips": [*clips[:-1], clips[0]]}, "two clips have the same key")


def test_frozen_clips_cannot_be_left_out(document, refused):
    refused({**document, "frozen": []}, "its frozen clips are not those that its rows name")


def test_figures_that_are_not_finite_are_refused(document, refused):
    document["clips"][0]["metrics"]["flicker"] = float("nan")
    refused(document, r"is damaged \(NaN is no figure\)", signed=False)


def test_what_is_no_report_is_refused(document, refused, tmp_path):
    refused({**document, "verdict": "good"}, r"is not a report \(verdict: ")
    refused({**document, "clips": "none"}, r"is not a report \(clips: ")
    document["metrics"]["flicker"]["value"] = "0"
    refused(document, r"is not a report \(metrics\.flicker\.value: ")
    del document["clips"][0]["metrics"]["flicker"]
    document["metrics"]["flicker"]["value"] = 0.0
    refused(document, "its clips have different metrics")
    for content in (
        b"\xff",
        b"[" * 100_000,
        b'{"format": 2, "name": "\\ud800"}',
        b'{"format": 1, "format": 2}',
    ):
        (tmp_path / "report.json").write_bytes(content)
        with pytest.raises(AnimaticError, match=r"is damaged \("):
            read_report(tmp_path / "report.json")
    with pytest.raises(AnimaticError, match="cannot be read: No such file"):
        read_report(tmp_path / "none.json")
