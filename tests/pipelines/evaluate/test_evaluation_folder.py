"""The folder of an evaluation: one protocol, chunks that exist once finished, and damage that is reported."""

import json

import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.evaluate.chunk_worker import measure
from pipelines.evaluate.heldout import RealClip
from pipelines.evaluate.storage import EvaluationFolder

PIXELS = np.zeros((2, 8, 8, 3), np.uint8)
CLIP = RealClip("a", "a boat", 8.0, PIXELS)


@pytest.fixture
def folder(tmp_path):
    return EvaluationFolder(tmp_path)


def test_a_chunk_is_finished_once_its_results_are_stored(folder, tmp_path):
    result = {"rows": [measure(CLIP, PIXELS)], "seconds": 1.5}
    assert not folder.has_chunk(0)
    folder.write_chunk(0, [CLIP], PIXELS[None], result)
    assert folder.has_chunk(0)
    assert folder.read_chunk(0) == result
    assert sorted(path.name for path in (tmp_path / "chunks").iterdir()) == [
        "chunk-00000.json",
        "chunk-00000.npz",
    ]


def test_damaged_results_are_reported_with_their_file(folder, tmp_path):
    row = {name: value for name, value in measure(CLIP, PIXELS).items() if name != "fps"}
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks/chunk-00003.json").write_text(json.dumps({"rows": [row], "seconds": 1.0}))
    with pytest.raises(AnimaticError, match=r"chunk-00003\.json is damaged: delete it and evaluate again"):
        folder.read_chunk(3)


def test_a_folder_belongs_to_one_protocol(folder):
    folder.require_protocol({"seed": 0, "n": 3})
    folder.require_protocol({"seed": 0, "n": 3})
    with pytest.raises(AnimaticError, match=r"holds an evaluation with another preset, seed;"):
        folder.require_protocol({"seed": 1, "n": 3, "preset": "tiny"})


def test_a_damaged_protocol_is_reported_with_the_file(folder, tmp_path):
    (tmp_path / "protocol.json").write_text('{"seed": 0')
    with pytest.raises(AnimaticError, match=r"protocol\.json is damaged .*delete the folder"):
        folder.require_protocol({"seed": 0, "n": 3})
