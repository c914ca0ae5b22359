"""Checkpoint files of several processes, whose views of a shared folder differ."""

import pytest

from tests.support.training_jobs import save_with_lagging_view
from training.checkpoints import find_damage, read_manifest


@pytest.mark.parametrize("lagging_rank", [0, 1])
def test_a_lagging_rank_cannot_make_a_manifest_incomplete(pair, tmp_path, lagging_rank):
    saved = pair.run(save_with_lagging_view, str(tmp_path), lagging_rank)
    assert saved[0] == saved[1]
    manifest = read_manifest(tmp_path / saved[0])
    assert sorted(manifest.files) == ["rank-00000.safetensors", "rank-00001.safetensors"]
    assert find_damage(tmp_path / saved[0]) is None
