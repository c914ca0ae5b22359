"""A training batch as a picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from models.batch import Batch
from orchestration.cli import app
from orchestration.reports.batch_sheet import CONDITION, FRAME, MARGIN, draw_batch, sample_size
from tests.support.coded_clips import build_dataset


def batch(**changes):
    values = {
        "pixels": torch.arange(2 * 4).reshape(2, 4, 1, 1, 1).expand(2, 4, 3, 32, 48).to(torch.uint8) * 20,
        "captions": ["a grey wall that becomes lighter", "żółta ściana"],
        "fps": torch.tensor([8.0, 4.0]),
        "condition_index": torch.tensor([2, 0]),
        "drop_text": torch.tensor([False, True]),
        "drop_image": torch.tensor([False, True]),
        "seed": torch.tensor([1, 2]),
        "keys": ["k1", "k2"],
    }
    return Batch(**(values | changes))


def marked(sheet):
    """Left edges of the red frames, in pixels from the first strip's."""
    red = (np.asarray(sheet) == CONDITION).all(-1)
    rows = np.flatnonzero(red.sum(1) >= 48)
    return [int(np.flatnonzero(red[y])[0]) - MARGIN for y in rows if y - 1 not in rows]


def test_each_sample_is_a_strip_with_its_condition_marked():
    step = 48 + 2 * FRAME
    # The frame's upper edge, and its lower one.
    assert marked(draw_batch(batch())) == [2 * step, 2 * step, 0, 0]
    assert marked(draw_batch(batch(condition_index=torch.tensor([3, 1])))) == [3 * step] * 2 + [step] * 2


@pytest.mark.parametrize(
    "changes",
    [{"fps": torch.tensor([8.0, 5.0])}, {"drop_text": torch.tensor([True, True])}, {"captions": ["a", "b"]}],
)
def test_the_networks_inputs_are_written(changes):
    assert draw_batch(batch()).tobytes() != draw_batch(batch(**changes)).tobytes()


@pytest.mark.parametrize(
    ("bucket", "samples", "shape"),
    [("", 4, (4, 32, 64)), ("{height: 32, width: 48, frames: 6, batch: 2}", 2, (6, 32, 48))],
)
def test_the_verb_draws_the_batch_that_training_takes(tmp_path, bucket, samples, shape):
    dataset = build_dataset(tmp_path / "data", [40] * 4)
    path = tmp_path / "sheet.png"
    size = [
        "--set",
        "train.global_batch=4",
        "--set",
        "model.frames=4",
        "--set",
        "model.height=32",
        "--set",
        "model.width=64",
    ]
    command = ["inspect", dataset.url, "--batch", "--out", str(path), "--json", *size]
    (tmp_path / "run.yaml").write_text(f"data: {{buckets: [{bucket}]}}\nseed: 5\n")
    result = CliRunner().invoke(app, [*command, "--config", str(tmp_path / "run.yaml")])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert len(printed["keys"]) == printed["samples"] == samples
    same = CliRunner().invoke(app, [*command, "--set", f"data.buckets=[{bucket}]", "--seed", "5"])
    assert json.loads(same.stdout)["keys"] == printed["keys"]
    assert (printed["frames"], printed["height"], printed["width"]) == shape
    assert len(marked(Image.open(path))) == 2 * samples


def test_the_sample_size_latents_is_that_of_the_clips_they_were_made_of():
    stills = batch(
        pixels=torch.zeros(2, 1, 3, 32, 48, dtype=torch.uint8), latents=torch.zeros(2, 4, 2, 4, 4, 6)
    )
    assert sample_size(stills) == sample_size(batch()) == (4, 32, 48)
