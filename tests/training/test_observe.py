"""The journal survives crashes and resumes; curves count every step once."""

import json
import time

import pytest

from training.observe import Journal, Throughput, curves, follow_journal, read_journal


def test_lines_are_whole_json_with_time_event_and_step(tmp_path):
    path = tmp_path / "run" / "journal.jsonl"
    journal = Journal(path)
    journal.append("metrics", 3, metrics={"train/loss": 0.5, "train/grad_norm": float("inf")})
    journal.close()
    (line,) = [json.loads(text) for text in path.read_text().splitlines()]
    assert (line["event"], line["step"]) == ("metrics", 3)
    assert line["metrics"] == {"train/loss": 0.5, "train/grad_norm": None}
    assert abs(line["time"] - time.time()) < 60


def test_unknown_events_are_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="unknown journal event"):
        Journal(tmp_path / "journal.jsonl").append("metric", 1)


def test_other_ranks_write_nothing(tmp_path):
    journal = Journal(None)
    journal.append("start", 0)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_torn_last_line_is_ignored_and_then_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in (1, 2):
        journal.append("metrics", step, metrics={"train/loss": float(step)})
    journal.close()
    whole = path.read_bytes()
    for torn in range(1, len(whole) // 2):
        path.write_bytes(whole[:-torn])
        assert [entry.step for entry in read_journal(path)] == [1]
    Journal(path).append("resume", 1)
    assert [entry.event for entry in read_journal(path)] == ["metrics", "resume"]


def test_a_journal_is_followed_as_it_grows(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert follow_journal(path, 0) == ([], 0)
    journal, seen, offset = Journal(path), [], 0
    for step in (1, 2):
        journal.append("metrics", step, metrics={"train/loss": float(step), "train/grad_norm": float("nan")})
        entries, offset = follow_journal(path, offset)
        seen += [(entry.event, entry.step, entry.metrics) for entry in entries]
    assert seen == [("metrics", 1, {"train/loss": 1.0}), ("metrics", 2, {"train/loss": 2.0})]


def test_curves_do_not_double_after_a_resume(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in (1, 2, 3, 4):
        journal.append("metrics", step, metrics={"train/loss": 10.0 + step})
    journal.append("resume", 2)
    assert curves(path)["train/loss"] == [(1, 11.0), (2, 12.0)]
    journal.append("metrics", 3, metrics={"train/loss": 13.5})
    assert curves(path)["train/loss"] == [(1, 11.0), (2, 12.0), (3, 13.5)]
    assert curves(tmp_path / "none.jsonl") == {}


def test_throughput_splits_off_waiting_and_leaves_pauses_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("training.observe.time.perf_counter", lambda: now[0])
    watch = Throughput()
    with watch.waiting():
        now[0] += 1.0
    now[0] += 3.0
    with watch.paused():
        now[0] += 100.0
    report = watch.report(2, 16)
    assert report["throughput/step_s"] == pytest.approx(2.0)
    assert report["throughput/clips_per_s"] == pytest.approx(4.0)
    assert report["throughput/data_wait"] == pytest.approx(0.25)
