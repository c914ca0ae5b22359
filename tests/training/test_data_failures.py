"""A source of batches knows how many samples could not be decoded."""

from itertools import islice

from tests.support.coded_clips import build_dataset
from tests.support.small_stages import small_sets
from training.batch_source import DatasetSource
from training.config import resolve


def test_samples_that_were_replaced_are_counted_over_all_rounds_of_the_data(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12] * 4, lambda index, mp4: b"" if index == 1 else mp4)
    sets = ["model.height=32", "model.width=32", "model.frames=3", "data.max_failure_share=1"]
    config = resolve(0, "tiny", [*small_sets(0), *sets, f"data.dataset={dataset.folder.local_path}"])
    source = DatasetSource(config)
    assert source.failures == 0
    for data_round in range(2):
        # Two epochs of four clips, one of which is damaged.
        assert all(
            "clip-0001" not in batch.keys for batch in islice(source.batches(0, 1, 0, 4, data_round), 2)
        )
        assert source.failures == 2 * (data_round + 1)
