"""Fencing tokens: each is held by one writer, and a later one ends the right of all earlier ones."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.fencing import Number, SupersededError, Token, register_launch, superseding, take_token
from core.host import HOST_VARIABLE, host_identity, process_identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / ".writers"


def test_launches_that_register_at_once_get_different_numbers(folder: Path) -> None:
    start = threading.Barrier(8)

    def register(index: int) -> int:
        start.wait()
        return register_launch(folder, f"launcher {index}")

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(register, range(8)))
    assert sorted(numbers) == list(range(1, 9))


def test_a_launcher_keeps_its_number_and_a_restart_fences_off_the_start_before(folder: Path) -> None:
    launch = register_launch(folder, "a")
    first = take_token(folder, launch, "a")
    first.check()
    assert register_launch(folder, "a") == launch
    second = take_token(folder, launch, "a")
    assert second.number > first.number
    assert not first.holds() and second.holds()


def test_a_later_launch_takes_over_at_once_and_an_earlier_one_cannot_restart(folder: Path) -> None:
    early = register_launch(folder, "a")
    token = take_token(folder, early, "a")
    late = register_launch(folder, "b")
    assert not token.holds()  # before the later one has started its processes
    taken = take_token(folder, late, "b")
    for launch in (early, register_launch(folder, "a")):
        with pytest.raises(
            SupersededError, match=rf"{folder.parent} was taken over by attempt 2.1 \(process"
        ):
            take_token(folder, launch, "a")
    assert taken.holds()


def test_a_later_number_is_seen_by_a_token_of_any_process(folder: Path) -> None:
    launch = register_launch(folder, "a")
    elsewhere = Token(folder, take_token(folder, launch, "a").number)
    elsewhere.check()
    take_token(folder, launch, "a")
    with pytest.raises(SupersededError, match=r"attempt 1\.2 .* this attempt stops and writes nothing more"):
        elsewhere.check()


def test_a_number_whose_file_is_still_empty_counts(folder: Path) -> None:
    token = take_token(folder, register_launch(folder, "a"), "a")
    (folder / "2.0").touch()
    with pytest.raises(SupersededError, match=r"attempt 2\.0 \(another process\)"):
        token.check()


def test_checking_leaves_nothing_behind(folder: Path) -> None:
    token = take_token(folder, register_launch(folder, "a"), "a")
    before = sorted(folder.iterdir())
    for _ in range(3):
        token.check()
    assert sorted(folder.iterdir()) == before


def test_an_error_that_follows_from_a_later_writer_names_it_and_others_stay(folder: Path) -> None:
    token = take_token(folder, register_launch(folder, "a"), "a")
    with pytest.raises(FileNotFoundError), superseding(token):
        (folder / "gone").unlink()
    register_launch(folder, "b")
    with pytest.raises(SupersededError), superseding(token):
        (folder / "gone").unlink()


def test_numbers_are_ordered_by_launch_and_then_by_start() -> None:
    assert Number(1, 9) < Number(2, 0) < Number(2, 1) < Number(10, 0)
    assert Number.parse("10.3") == Number(10, 3)
    assert Number.parse("run-3f2a.lock") is Number.parse("-1.2") is Number.parse("3") is None


def test_a_machine_is_identified_alike_in_its_processes_and_by_what_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(HOST_VARIABLE, raising=False)
    here = host_identity()
    assert here == host_identity() and len(here) == 16
    monkeypatch.setenv(HOST_VARIABLE, "another")
    assert host_identity() != here
    assert process_identity(1).startswith(f"{host_identity()} 1 ")
