"""What raters see: balanced over systems, comparisons and sides, and blind."""

from collections import Counter
from typing import cast

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.records import ClipRow
from pipelines.evaluate.study.design import (
    Names,
    StudySettings,
    attention_pairs,
    comparisons,
    schedule,
)
from pipelines.evaluate.study.records import Task

SYSTEMS = ["a" * 64, "b" * 64, "c" * 64]


def clips(count: int, sources: int = 100) -> list[ClipRow]:
    rows = [
        {"key": f"clip-{n}", "caption": f"caption {n % 5}", "source": f"video-{n % sources}", "fps": 8.0}
        for n in range(count)
    ]
    return cast(list[ClipRow], rows)


def scheduled(settings: StudySettings, count: int = 20) -> dict[str, list[Task]]:
    names = Names.of(SYSTEMS, settings)
    compared = comparisons(names, SYSTEMS, [row["key"] for row in clips(count)])
    return schedule(names, compared, attention_pairs(names, clips(count), settings.attention), settings)


def test_each_rater_compares_all_pairs_of_systems_equally_often() -> None:
    settings = StudySettings(pairs=15, raters=7)
    names = Names.of(SYSTEMS, settings)
    rivals = {each["pair"]: each for each in comparisons(names, SYSTEMS, [c["key"] for c in clips(20)])}
    for tasks in scheduled(settings).values():
        own = [rivals[task["pair"]] for task in tasks if task["pair"] in rivals]
        assert len(own) == 15
        assert set(Counter((each["first"], each["second"]) for each in own).values()) == {5}


def test_comparisons_are_seen_equally_often_at_both_sides() -> None:
    tasks = [
        task for own in scheduled(StudySettings(pairs=30, raters=8, attention=0)).values() for task in own
    ]
    counts = Counter(task["pair"] for task in tasks)
    assert len(counts) == 60 and set(counts.values()) == {4}
    sides = Counter((task["pair"], task["a"]) for task in tasks)
    assert set(sides.values()) == {2}


def test_a_rater_sees_the_real_clip_of_attention_pairs_equally_often_at_each_side() -> None:
    settings = StudySettings(pairs=12, raters=10, attention=4)
    real = {
        each["pair"]: each["files"][0] for each in attention_pairs(Names.of(SYSTEMS, settings), clips(20), 4)
    }
    for tasks in scheduled(settings).values():
        hidden = [number for number, task in enumerate(tasks) if task["pair"] in real]
        assert len(tasks) == 16
        assert [number // 4 for number in hidden] == [0, 1, 2, 3]  # spread over the tasks
        assert sum(tasks[number]["a"] == real[tasks[number]["pair"]] for number in hidden) == 2


def test_raters_see_different_orders_and_the_seed_decides_all() -> None:
    first = scheduled(StudySettings(pairs=60, raters=3, seed=1))
    orders = [[task["pair"] for task in tasks] for tasks in first.values()]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    assert first == scheduled(StudySettings(pairs=60, raters=3, seed=1))
    other = scheduled(StudySettings(pairs=60, raters=3, seed=2))
    assert not {task["pair"] for task in other[next(iter(other))]} & set(orders[0])


def test_damaged_clips_are_of_another_source_and_caption() -> None:
    rows = clips(20, sources=7)
    by_key = {row["key"]: row for row in rows}
    pairs = attention_pairs(Names.of(SYSTEMS, StudySettings()), rows, 20)
    assert {each["damage"] for each in pairs} == {"scrambled-other", "flashing", "frozen-other"}
    for each in pairs:
        own, other = by_key[each["key"]], by_key[each["other"]]
        if each["damage"] == "flashing":
            assert own == other
        else:
            assert own["source"] != other["source"] and own["caption"] != other["caption"]


def test_a_study_larger_than_its_reports_is_refused() -> None:
    with pytest.raises(AnimaticError, match="61 pairs for each rater, but the reports give 60"):
        scheduled(StudySettings(pairs=61))
    with pytest.raises(AnimaticError, match="21 attention pairs need 21 clips"):
        scheduled(StudySettings(attention=21))
    names = Names.of(SYSTEMS, StudySettings())
    with pytest.raises(AnimaticError, match="from two or more source videos"):
        attention_pairs(names, clips(5, sources=1), 2)
