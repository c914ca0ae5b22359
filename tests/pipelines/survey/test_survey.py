"""A dataset's figures are those of its tables, and working time adds up without pauses."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.ingest.timings import UnitTiming, read_timings, timings_of
from pipelines.survey import histogram, preview_samples, rates, survey
from tests.support.coded_clips import build_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five clips in two units, the fourth of them damaged."""
    folder = tmp_path_factory.mktemp("survey") / "data"
    return build_dataset(
        folder, [12, 12, 24, 24, 36], lambda n, mp4: mp4[:200] if n == 3 else mp4, sizes=[3, 2]
    )


def test_figures_are_those_of_the_tables(dataset: Dataset) -> None:
    found = survey(dataset)
    assert (found.counts["samples"], found.shards, found.digest) == (5, 2, dataset.digest)
    assert found.bytes == sum(path.stat().st_size for path in dataset.folder.local_path.glob("*.tar"))
    assert found.spread["frames"].min == 12 and found.spread["frames"].mean == pytest.approx(21.6)
    assert found.sizes == {"96x64": 5}
    lengths = next(chart for chart in found.histograms if chart.name == "duration")
    assert (lengths.edges, lengths.counts) == ([1.0, 2.0, 3.0], [2, 2, 1])
    assert (found.duplicates, found.rates, found.examples) == (None, [], {})


def test_many_values_share_bins_and_few_have_their_own() -> None:
    many = histogram("motion", "", np.arange(100.0))
    assert len(many.edges) == len(many.counts) + 1
    assert sum(many.counts) == 100
    few = histogram("fps", "", np.array([24.0, 30.0, 24.0]))
    assert (few.edges, few.counts) == ([24.0, 30.0], [2, 1])


def test_working_time_adds_up_without_pauses() -> None:
    day = 86_400.0
    made = [
        UnitTiming(run=0.0, ended=10.0, seconds=10.0, unit=0, rows=20, samples=18, bytes=1000),
        UnitTiming(run=0.0, ended=20.0, seconds=20.0, unit=1, rows=20, samples=20, bytes=1000),
        UnitTiming(run=day, ended=day + 35.0, seconds=30.0, unit=2, rows=60, samples=60, bytes=3000),
    ]
    found = rates(made, intervals=5)
    assert found[-1].end == pytest.approx(50 / 3600)
    assert [rate.rows for rate in found] == pytest.approx([3.0, 1.0, 2.0, 2.0, 2.0])
    assert sum(rate.samples * 10 for rate in found) == pytest.approx(98)
    assert sum(rate.bytes * 10 for rate in found) == pytest.approx(5000)
    assert rates([]) == []


def test_times_of_later_calls_follow_earlier_ones(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    counts = {"rows": 4, "samples": 3, "bytes": 100, "rejected_rows": 1, "reasons": {"too_still": 1}}
    for unit in range(2):
        with timings_of(folder) as timings:
            timings.add(unit, 1.5, counts)
    with timings_of(folder):
        pass
    noted = read_timings(folder)
    assert [(one.unit, one.seconds, one.rows, one.samples) for one in noted] == [
        (0, 1.5, 4, 3),
        (1, 1.5, 4, 3),
    ]
    assert noted[0].run <= noted[0].ended <= noted[1].run <= noted[1].ended
    with pytest.raises(RuntimeError), timings_of(folder) as timings:
        timings.add(2, 1.0, counts)
        raise RuntimeError("the job failed")
    assert len(read_timings(folder)) == 3
    (tmp_path / "timings.jsonl").write_text(json.dumps({"unit": 3}) + "\n")
    with pytest.raises(AnimaticError, match=r"timings\.jsonl is damaged"):
        read_timings(folder)


def test_previews_are_drawn_by_seed_and_report_damage(dataset: Dataset) -> None:
    sheet = list(preview_samples(dataset, 10, seed=0))
    assert [sample.caption for sample in sheet] == [f"caption {n}" for n in range(5)]
    assert [bool(sample.problem) for sample in sheet] == [False, False, False, True, False]
    assert all(sample.image.startswith(b"\xff\xd8") and len(sample.stills) == 3 for sample in sheet[:3])

    def drawn(seed: int) -> list[str]:
        return [sample.key for sample in preview_samples(dataset, 2, seed)]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1
