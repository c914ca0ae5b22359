"""The journal survives crashes and resumes; curves count every step once."""

import json
import time

import pytest

from core.errors import AnimaticError
from tests.support.limits import limited_files
from training.events import (
    CheckpointSaved,
    Ended,
    Metrics,
    Resumed,
    RolledBack,
    StepSkipped,
    Warned,
)
from training.journal import Journal, curves, follow_journal, read_journal


def test_lines_are_whole_json_with_time_event_and_step(tmp_path):
    path = tmp_path / "run" / "journal.jsonl"
    journal = Journal(path)
    journal.record(3, Metrics({"train/loss": 0.5, "train/grad_norm": float("inf")}))
    journal.close()
    (line,) = [json.loads(text) for text in path.read_text().splitlines()]
    assert (line["event"], line["step"]) == ("metrics", 3)
    assert line["metrics"] == {"train/loss": 0.5, "train/grad_norm": None}
    assert abs(line["time"] - time.time()) < 60


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            CheckpointSaved("c/step-2", "ab", 1.5, 0.5),
            {"event": "checkpoint", "uri": "c/step-2", "digest": "ab", "seconds": 1.5, "pause_s": 0.5},
        ),
        (Warned("disk full"), {"event": "warning", "message": "disk full"}),
        (
            StepSkipped(["a", "b"], "step skipped", loss=9.0, worst="b", worst_loss=float("nan")),
            {
                "event": "warning",
                "message": "step skipped",
                "keys": ["a", "b"],
                "loss": 9.0,
                "limit": None,
                "worst": "b",
                "worst_loss": None,
                "dumps": None,
            },
        ),
        (RolledBack(from_step=5, data_round=1), {"event": "rollback", "from_step": 5, "data_round": 1}),
        (Ended(), {"event": "end"}),
    ],
)
def test_an_event_is_read_with_its_name_and_fields(tmp_path, event, fields):
    path = tmp_path / "journal.jsonl"
    Journal(path).record(2, event)
    (entry,) = read_journal(path)
    assert entry.content == {"time": entry.time, "step": 2, **fields}


def test_other_ranks_write_nothing(tmp_path):
    journal = Journal(None)
    journal.record(0, Ended())
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_torn_last_line_is_ignored_and_then_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in (1, 2):
        journal.record(step, Metrics({"train/loss": float(step)}))
    journal.close()
    whole = path.read_bytes()
    for torn in range(1, len(whole) // 2):
        path.write_bytes(whole[:-torn])
        assert [entry.step for entry in read_journal(path)] == [1]
    Journal(path).record(1, Resumed("checkpoint", "digest"))
    assert [entry.event for entry in read_journal(path)] == ["metrics", "resume"]


def test_a_journal_is_followed_as_it_grows(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert follow_journal(path, 0) == ([], 0)
    journal, seen, offset = Journal(path), [], 0
    for step in (1, 2):
        journal.record(step, Metrics({"train/loss": float(step), "train/grad_norm": float("nan")}))
        entries, offset = follow_journal(path, offset)
        seen += [(entry.event, entry.step, entry.metrics) for entry in entries]
    assert seen == [("metrics", 1, {"train/loss": 1.0}), ("metrics", 2, {"train/loss": 2.0})]


def test_curves_do_not_double_after_a_resume(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in (1, 2, 3, 4):
        journal.record(step, Metrics({"train/loss": 10.0 + step}))
    journal.record(2, Resumed("checkpoint", "digest"))
    assert curves(path)["train/loss"] == [(1, 11.0), (2, 12.0)]
    journal.record(3, Metrics({"train/loss": 13.5}))
    assert curves(path)["train/loss"] == [(1, 11.0), (2, 12.0), (3, 13.5)]
    assert curves(tmp_path / "none.jsonl") == {}


def test_lines_that_a_full_disk_refuses_follow_when_it_has_room_again(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.record(1, Warned("first"))
    with limited_files(path.stat().st_size + 20):
        journal.record(2, Warned("second"))
        journal.record(3, Warned("third"))
        assert [entry.step for entry in read_journal(path)] == [1]
        assert path.read_bytes().endswith(b"\n")
    journal.record(4, Warned("fourth"))
    journal.close()
    assert [entry.step for entry in read_journal(path)] == [1, 2, 3, 4]


def test_a_journal_whose_disk_stays_full_states_at_its_end_what_is_missing(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.record(1, Warned("first"))
    with limited_files(path.stat().st_size):
        journal.record(2, Ended())
        with pytest.raises(AnimaticError, match=r"lacks its last 1 lines: File too large; free space"):
            journal.close()
    assert [entry.step for entry in read_journal(path)] == [1]
