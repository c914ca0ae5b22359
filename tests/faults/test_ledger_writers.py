"""Writers of one ledger that run at once and are killed: nothing is lost, doubled or out of order."""

from collections import Counter
from pathlib import Path

import pytest

from orchestration.registry import Ledger
from tests.support.bucket import AtomicServer, bucket
from tests.support.ledger_writers import write_and_kill


def assert_whole(registry: str | Path, acknowledged: list[str]) -> None:
    ledger = Ledger(registry)
    assert ledger.verify() == []
    notes = Counter(entry.note for entry in ledger.entries())
    assert {note for note, times in notes.items() if times > 1} == set()
    assert set(acknowledged) - notes.keys() == set()
    assert len({entry.id for entry in ledger.entries()}) == notes.total()


def test_killed_writers_of_a_file_lose_and_double_nothing(tmp_path: Path) -> None:
    acknowledged, killed = write_and_kill(str(tmp_path), writers=3, kills=1, last=2, seed=0)
    assert killed == 3
    assert len(acknowledged) >= 3 * (1 + 2)
    assert_whole(tmp_path, acknowledged)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_eight_killed_writers_of_a_file_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    acknowledged, killed = write_and_kill(str(tmp_path), writers=8, kills=8, last=5, seed=seed)
    assert killed == 64
    assert_whole(tmp_path, acknowledged)


@pytest.mark.slow
def test_eight_killed_writers_of_an_object_store_lose_and_double_nothing() -> None:
    with bucket(AtomicServer()) as url:
        acknowledged, killed = write_and_kill(f"{url}/registry", writers=8, kills=3, last=2, seed=0)
        assert killed == 24
        assert_whole(f"{url}/registry", acknowledged)
