"""The folder of an evaluation: one identity, chunks that exist once finished, and damage that is reported."""

import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.evaluate.clips import RealClip
from pipelines.evaluate.features import ChunkFeatures
from pipelines.evaluate.storage import EvaluationFolder

PIXELS = np.zeros((2, 8, 8, 3), np.uint8)
CLIP = RealClip("a", "a boat", 8.0, PIXELS, "film")
ROW = {
    "key": "a",
    "caption": "a boat",
    "source": "film",
    "fps": 8.0,
    "frozen": True,
    "black": False,
    "metrics": {"first_frame_psnr": 100.0},
}


@pytest.fixture
def folder(tmp_path):
    return EvaluationFolder(tmp_path)


def test_a_chunk_is_finished_once_its_record_is_stored(folder, tmp_path):
    assert not folder.has_chunk(0)
    folder.write_chunk(0, [CLIP], PIXELS[None] + 1, seconds=1.5)
    assert folder.has_chunk(0)
    (pair,) = folder.read_chunk(0)
    assert (pair.clip.stored(), pair.real.max(), pair.generated.min()) == (CLIP.stored(), 0, 1)
    assert sorted(path.name for path in (tmp_path / "chunks").iterdir()) == [
        "chunk-00000.json",
        "chunk-00000.npz",
    ]


def test_clips_that_were_changed_after_they_were_generated_are_reported(folder, tmp_path):
    folder.write_chunk(0, [CLIP], PIXELS[None], seconds=1.5)
    written = (tmp_path / "chunks/chunk-00000.npz").read_bytes()
    folder.write_chunk(1, [CLIP], PIXELS[None] + 1, seconds=1.5)
    (tmp_path / "chunks/chunk-00001.npz").write_bytes(written)
    with pytest.raises(AnimaticError, match=r"chunk-00001\.npz and .*chunk-00001\.json .*: delete"):
        folder.read_chunk(1)
    (tmp_path / "chunks/chunk-00000.npz").unlink()
    with pytest.raises(AnimaticError, match=r"chunk-00000\.npz is missing: rerun the evaluation"):
        folder.read_chunk(0)


def test_damaged_rows_are_reported_with_their_file(folder, tmp_path):
    folder.write_measured("m", 3, {"rows": [ROW], "seconds": 1.0})
    assert folder.read_measured("m", 3) == {"rows": [ROW], "seconds": 1.0}
    path = tmp_path / "measured/m/chunk-00003.json"
    path.write_text(path.read_text().replace('"fps":8.0,', ""))
    with pytest.raises(AnimaticError, match=r"chunk-00003\.json is damaged: delete it and evaluate again"):
        folder.read_measured("m", 3)


def test_features_are_stored_by_the_extractor_that_made_them(folder, tmp_path):
    features = ChunkFeatures(np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32))
    folder.write_features("i3d-0123", 0, features)
    assert folder.has_features("i3d-0123", 0) and not folder.has_features("i3d-4567", 0)
    read = folder.read_features("i3d-0123", 0)
    assert read.text is None and np.array_equal(read.clip(1).real, [1, 1, 1])
    (tmp_path / "features/i3d-0123/chunk-00000.npz").write_bytes(b"PK")
    with pytest.raises(AnimaticError, match=r"i3d-0123/chunk-00000\.npz is damaged"):
        folder.read_features("i3d-0123", 0)


def test_a_folder_belongs_to_one_evaluation(folder):
    identity = {"protocol": {"seed": 0, "n": 3}, "system": {"name": "a", "chunk": 8}}
    folder.require_identity(identity)
    folder.require_identity(identity)
    other = {"protocol": {"seed": 1, "n": 3}, "system": {"name": "a", "chunk": 8, "preset": "tiny"}}
    with pytest.raises(AnimaticError, match=r"another protocol.seed, system.preset; choose another"):
        folder.require_identity(other)


def test_a_folder_of_an_earlier_version_is_refused(folder, tmp_path):
    (tmp_path / "protocol.json").write_text('{"bundle": "1", "seed": 0}')
    with pytest.raises(AnimaticError, match=r"holds an evaluation with another .*protocol"):
        folder.require_identity({"protocol": {"seed": 0}, "system": {"name": "a"}})


def test_a_damaged_identity_is_reported_with_the_file(folder, tmp_path):
    (tmp_path / "protocol.json").write_text('{"protocol": ')
    with pytest.raises(AnimaticError, match=r"protocol\.json is damaged .*delete the folder"):
        folder.require_identity({"protocol": {}, "system": {}})
