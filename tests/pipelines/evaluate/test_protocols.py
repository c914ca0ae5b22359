"""Public datasets and other systems, through the job: one report each, on the same clips."""

import csv

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from pipelines.evaluate import EvaluateConfig, generate_clips, measure_clips, plan_evaluation, read_report
from pipelines.evaluate.clips import SampleShape
from pipelines.evaluate.pictures import export_pictures
from pipelines.evaluate.protocols.prepare import prepare
from pipelines.evaluate.protocols.ucf101 import list_ucf101
from pipelines.evaluate.systems import BaselineSettings, baseline_system, generated_system
from tests.support.public_datasets import UCF101, ucf101_line, write_ucf101
from tests.support.small_pipelines import write_pipeline

SHAPE = SampleShape(frames=4, height=32, width=48)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """UCF-101 in miniature; one of its four listed videos is missing."""
    data = write_ucf101(tmp_path_factory.mktemp("ucf") / "data")
    (data / "UCF-101" / ucf101_line(UCF101[1])).unlink()
    return prepare(list_ucf101(data), tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def config(prepared, tmp_path):
    return EvaluateConfig(
        data=str(prepared), output=tmp_path / "evaluation", protocol="ucf101", stride=3, chunk=2, workers=0
    )


def evaluate(system, config):
    plan = plan_evaluation(system, config)
    generate_clips(plan)
    return measure_clips(plan)


def test_other_systems_are_measured_on_the_same_clips(config, tmp_path):
    pictures = tmp_path / "pictures"
    assert export_pictures(config, SHAPE, pictures) == 3
    rows = list(csv.DictReader((pictures / "prompts.csv").open()))
    assert {row["key"] for row in rows} == {UCF101[0], UCF101[2], UCF101[3]}
    assert {row["prompt"] for row in rows} == {"Apply Eye Makeup", "Handstand Pushups"}
    assert {(row["frames"], row["fps"]) for row in rows} == {("4", "8.33333")}

    # A system that repeats the picture.
    for row in rows:
        (tmp_path / "made" / row["key"]).mkdir(parents=True)
        picture = Image.open(pictures / row["picture"])
        assert picture.size == (48, 32)
        for number in range(4):
            picture.save(tmp_path / "made" / row["key"] / f"{number}.png")
    made = evaluate(generated_system(tmp_path / "made", SHAPE), config)
    assert made["protocol"]["missing"] == {"missing_file": 1}
    assert made["protocol"]["prompts"] == "class name, words separated"
    assert {row["source"] for row in made["clips"]} >= {"ApplyEyeMakeup_g01", "ApplyEyeMakeup_g02"}
    assert made["metrics"]["first_frame_psnr"]["value"] == 100.0
    assert sorted(made["frozen"]) == sorted(row["key"] for row in rows)

    weights = write_pipeline("stable-video-diffusion", tmp_path / "weights")
    settings = BaselineSettings("stable-video-diffusion", weights, steps=1, pixels=64 * 64)
    output = tmp_path / "baseline"
    baseline = evaluate(baseline_system(settings, SHAPE), config.model_copy(update={"output": output}))
    assert baseline["protocol"] == made["protocol"]
    assert baseline["system"]["sampling"]["num_inference_steps"] == 1
    assert read_report(output / "report.json") == baseline


def test_more_clips_than_are_usable_are_refused_with_what_is_missing(config, tmp_path):
    (tmp_path / "made").mkdir()
    system = generated_system(tmp_path / "made", SHAPE)
    message = r"3 of 3 held-out clips .* 4 requested \(1 more are listed and unusable: missing_file 1\); add"
    with pytest.raises(AnimaticError, match=message):
        plan_evaluation(system, config.model_copy(update={"clips": 4}))
    with pytest.raises(AnimaticError, match="made lacks 3 of 3 clips"):
        plan_evaluation(system, config)


def test_a_prepared_set_is_read_by_its_own_protocol_alone(config):
    with pytest.raises(AnimaticError, match="is a prepared set of ucf101, not of msrvtt"):
        export_pictures(config.model_copy(update={"protocol": "msrvtt"}), SHAPE, config.output)
    with pytest.raises(AnimaticError, match="is not a prepared set of ucf101: prepare its videos first"):
        export_pictures(config.model_copy(update={"data": "elsewhere"}), SHAPE, config.output)


def test_pictures_replace_no_folder(config, tmp_path):
    with pytest.raises(AnimaticError, match="exists and is not overwritten"):
        export_pictures(config, SHAPE, tmp_path)
    assert np.all([path.name != "prompts.csv" for path in tmp_path.iterdir()])
