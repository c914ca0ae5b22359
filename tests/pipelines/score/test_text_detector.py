"""Text by a detector of transformers in a folder: read strictly, and its share of the picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import AnimaticError
from pipelines.dataset.columns import column_source
from pipelines.score import ScoreConfig, score
from tests.support.coded_clips import build_dataset
from tests.support.columns import values_of


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one with random weights, in the layout of PP-OCRv5_mobile_det_safetensors."""
    from transformers import PPOCRV5MobileDetConfig, PPOCRV5MobileDetForObjectDetection
    from transformers.models.pp_ocrv5_server_det.image_processing_pp_ocrv5_server_det import (
        PPOCRV5ServerDetImageProcessor,
    )

    folder = tmp_path_factory.mktemp("detector") / "small"
    torch.manual_seed(0)
    stages = {"out_features": ["stage2", "stage3", "stage4", "stage5"], "out_indices": [2, 3, 4, 5]}
    backbone = {"model_type": "pp_lcnet_v3", "scale": 0.25, "divisor": 16, **stages}
    network = PPOCRV5MobileDetForObjectDetection(PPOCRV5MobileDetConfig(backbone_config=backbone))
    network.save_pretrained(folder)
    PPOCRV5ServerDetImageProcessor().save_pretrained(folder)
    return folder


def with_bias(detector: Path, folder: Path, bias: float) -> Path:
    """The same, sure that there is text everywhere or nowhere."""
    folder.mkdir()
    for file in detector.iterdir():
        if file.suffix == ".json":
            (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(detector / "model.safetensors")
    state["head.conv_final.bias"] = torch.full_like(state["head.conv_final.bias"], bias)
    save_file(state, folder / "model.safetensors")
    return folder


def scored(dataset, detector: Path) -> list[float]:
    score(ScoreConfig(dataset=dataset.url, metrics=("text",), detector=str(detector), frames=2, workers=0))
    return values_of(dataset, "screen_text").tolist()


def test_the_share_is_that_of_pixels_the_detector_is_sure_of(detector: Path, tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [4, 12], lambda n, mp4: mp4 if n else b"\0" * 99)
    nowhere = scored(dataset, with_bias(detector, tmp_path / "no", -50.0))
    source = column_source(dataset.folder, "screen_text")
    everywhere = scored(dataset, with_bias(detector, tmp_path / "yes", 50.0))
    assert np.isnan(nowhere[0]) and np.isnan(everywhere[0])
    assert (nowhere[1], everywhere[1]) == (0.0, 1.0)
    assert (source["method"], source["frames"]) == ("detector/1", "2")
    assert source["weights"] != column_source(dataset.folder, "screen_text")["weights"]


def test_what_is_no_detector_is_named(detector: Path, tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [4])
    with pytest.raises(AnimaticError, match=r"no folder at .*missing \(detector\)"):
        scored(dataset, tmp_path / "missing")
    folder = with_bias(detector, tmp_path / "changed", 0.0)
    state = load_file(folder / "model.safetensors")
    state.pop("head.conv_final.bias")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(AnimaticError, match=r"does not have the weights of this architecture: .*conv_final"):
        scored(dataset, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(AnimaticError, match="is a model of kind clip; use a text detector of PP-OCR"):
        scored(dataset, folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(AnimaticError, match=r"changed \(detector\) cannot be loaded"):
        scored(dataset, folder)
