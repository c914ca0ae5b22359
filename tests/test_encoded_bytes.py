"""Every encoder gives the same bytes for the same input, in every process and whatever the heap holds."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest


def digests(folder: Path, processes: int, rounds: int) -> list[dict[str, str]]:
    """What each process wrote in each round, by file name."""

    def run(seed: int) -> list[dict[str, str]]:
        command = [sys.executable, "-m", "tests.support.encoded_files", str(seed), str(folder), str(rounds)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    with ThreadPoolExecutor(2) as pool:
        return [written for seed in pool.map(run, range(processes)) for written in seed]


def assert_equal(written: list[dict[str, str]]) -> None:
    assert {"shard-0.mp4", "shard-0.1.jpg", "animation.mp4", "animation.gif", "table.parquet"} <= set(
        written[0]
    )
    versions = {name: {files[name] for files in written} for name in written[0]}
    assert {name: len(found) for name, found in versions.items() if len(found) > 1} == {}


def test_files_are_equal_from_process_to_process(tmp_path: Path) -> None:
    assert_equal(digests(tmp_path, processes=2, rounds=2))


@pytest.mark.slow
def test_files_are_equal_in_forty_processes(tmp_path: Path) -> None:
    assert_equal(digests(tmp_path, processes=40, rounds=1))
