"""Prometheus reads the figures of a training run from its launching process."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.monitoring import JournalFollower, MetricsOptions, served_training
from orchestration.monitoring.ingest_metrics import INGEST
from orchestration.monitoring.prometheus import Kind
from orchestration.monitoring.training_metrics import TRAINING
from orchestration.monitoring.training_state import StateRecorder
from tests.support.paths import ROOT
from tests.support.scrape import announced_port, scrape, unlabelled
from tests.support.training_jobs import small_config
from training import events
from training.journal import Journal, read_journal
from training.processes.signs_of_life import Sign

CONFIG = small_config(1)
FIGURES = {
    "train/loss": 0.25,
    "train/lr": 1e-4,
    "train/grad_norm": 0.5,
    "train/skipped_steps": 1.0,
    "throughput/clips_per_s": 8.0,
    "throughput/step_s": 0.5,
    "throughput/data_wait": 0.125,
}
STARTED = events.Started("h", 1, "tiny", 3, 1, "cpu", 9, 4, 90, 40, 7, "d", None, None, "0.1.0")


class Run:
    """A run that is served: what its journal gets is known to the server at once."""

    def __init__(self, folder: Path, recorder: StateRecorder, port: int) -> None:
        self.recorder, self.port = recorder, port
        self.path = folder / "journal.jsonl"
        self._journal, self._read = Journal(self.path), 0

    def record(self, step: int, event: object) -> dict[str, float]:
        """What is read after this event."""
        self._journal.record(step, event)
        entries = read_journal(self.path)
        for entry in entries[self._read :]:
            self.recorder.record(entry)
        self._read = len(entries)
        return unlabelled(self.port)

    def value(self, step: int, event: object, name: str) -> float:
        return self.record(step, event)[f"animatic_training_{name}"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    printed: list[str] = []
    options = MetricsOptions(0, printed.append)
    with served_training(CONFIG, tmp_path / "tiny-run", options) as recorder:
        yield Run(tmp_path, recorder, announced_port(printed[0]))


def test_before_the_first_event_the_run_and_its_size_are_known(run: Run) -> None:
    labels = (("preset", "tiny"), ("run", "tiny-run"), ("stage", "1"))
    assert scrape(run.port) == {
        ("animatic_training_info", labels): 1,
        ("animatic_training_planned_steps", ()): 3,
        ("animatic_training_planned_workers", ()): 2,
        ("animatic_training_steps_total", ()): 0,
        ("animatic_training_skipped_steps_total", ()): 0,
        ("animatic_training_data_failures_total", ()): 0,
        ("animatic_training_rollbacks_total", ()): 0,
        ("animatic_training_warnings_total", ()): 0,
        ("animatic_training_restarts_total", ()): 0,
        ("animatic_training_hangs_total", ()): 0,
        ("animatic_training_samples_total", ()): 0,
        ("animatic_training_stalled_seconds", ()): 0,
    }


def test_figures_are_those_of_the_newest_event(run: Run) -> None:
    run.record(0, STARTED)
    figures = run.record(2, events.Metrics(FIGURES))
    written = read_journal(run.path)
    assert {name.removeprefix("animatic_training_"): value for name, value in figures.items()} == {
        "planned_steps": 3,
        "planned_workers": 2,
        "step": 2,
        "steps_total": 2,
        "loss": 0.25,
        "learning_rate": 1e-4,
        "gradient_norm": 0.5,
        "step_seconds": 0.5,
        "clips_per_second": 8,
        "data_wait_ratio": 0.125,
        "data_failures_total": 0,
        "remaining_seconds": 0.5,
        "skipped_steps_total": 0,
        "rollbacks_total": 0,
        "warnings_total": 0,
        "restarts_total": 0,
        "hangs_total": 0,
        "samples_total": 0,
        "start_timestamp_seconds": pytest.approx(written[0].time),
        "progress_timestamp_seconds": pytest.approx(written[1].time),
        "stalled_seconds": 0,
    }


def test_times_by_phase_losses_by_quarter_and_use_of_devices_are_exported(run: Run) -> None:
    more = {
        "time/data_s": 0.125,
        "time/forward_s": 0.25,
        "train/loss_q1": 0.5,
        "train/loss_q4": 2.0,
        "train/loss_scale": 256.0,
        "throughput/mfu": 0.375,
        "throughput/clips_per_s_per_device": 4.0,
        "memory/allocated_bytes": 2.0**20,
        "memory/reserved_bytes": 2.0**21,
        "memory/resident_bytes": 2.0**22,
    }
    run.record(1, events.Metrics({**FIGURES, **more}))
    assert {
        (name.removeprefix("animatic_training_"), *labels): value
        for (name, labels), value in scrape(run.port).items()
    }.items() >= {
        ("phase_seconds", ("phase", "data")): 0.125,
        ("phase_seconds", ("phase", "forward")): 0.25,
        ("quarter_loss", ("quarter", "1")): 0.5,
        ("quarter_loss", ("quarter", "4")): 2.0,
        ("loss_scale",): 256.0,
        ("mfu_ratio",): 0.375,
        ("device_clips_per_second",): 4.0,
        ("gpu_memory_allocated_bytes",): 2.0**20,
        ("gpu_memory_reserved_bytes",): 2.0**21,
        ("memory_resident_bytes",): 2.0**22,
    }.items()


def test_samples_that_cannot_be_decoded_add_up(run: Run) -> None:
    for step, failures in enumerate((2.0, 0.0, 3.0), 1):
        figures = run.record(step, events.Metrics({**FIGURES, "data/failures": failures}))
    assert figures["animatic_training_data_failures_total"] == 5


def test_the_validation_loss_is_exported_whole_and_by_quantile_until_the_next(run: Run) -> None:
    figures = {"validation/loss": 0.5, "validation/loss_q1": 0.25, "validation/loss_q2": math.nan}
    run.record(2, events.LossMeasured(figures, 16, True, 1.0))
    found = run.record(3, events.Metrics({**FIGURES, "memory/peak_bytes": 2.0**30}))
    assert found["animatic_training_validation_loss"] == 0.5
    assert found["animatic_training_gpu_memory_peak_bytes"] == 2**30
    name = "animatic_training_validation_quantile_loss"
    by_quantile = {labels[0][1]: value for (each, labels), value in scrape(run.port).items() if each == name}
    assert by_quantile["1"] == 0.25 and math.isnan(by_quantile["2"])


def test_a_loss_that_is_not_finite_is_nan_and_the_next_one_replaces_it(run: Run) -> None:
    assert math.isnan(run.value(1, events.Metrics({**FIGURES, "train/loss": math.inf}), "loss"))
    assert run.value(2, events.Metrics(FIGURES), "loss") == 0.25


def test_a_checkpoint_sets_step_and_time_as_does_one_that_is_resumed_from(run: Run) -> None:
    for event in (events.CheckpointSaved("c", "d", 1.5), events.Resumed("c", "d")):
        figures = run.record(2, event)
        assert figures["animatic_training_checkpoint_step"] == 2
        written = read_journal(run.path)[-1].time
        assert figures["animatic_training_checkpoint_timestamp_seconds"] == pytest.approx(written)


def test_the_time_that_a_checkpoint_took_stays_until_the_next_one(run: Run) -> None:
    assert run.value(2, events.CheckpointSaved("c", "d", 1.5), "checkpoint_seconds") == 1.5
    assert run.value(2, events.Resumed("c", "d"), "checkpoint_seconds") == 1.5


def test_repeated_steps_count_and_the_step_goes_back(run: Run) -> None:
    run.record(0, STARTED)
    run.record(2, events.Metrics(FIGURES))
    run.record(1, events.Resumed("c", "d"))
    figures = run.record(1, STARTED)
    assert figures["animatic_training_step"] == 1
    assert figures["animatic_training_steps_total"] == 2
    assert figures["animatic_training_restarts_total"] == 1
    assert run.value(3, events.Metrics(FIGURES), "steps_total") == 4


def test_a_checkpoint_that_was_written_meanwhile_does_not_move_the_step(run: Run) -> None:
    run.record(0, STARTED)
    run.record(5, events.Metrics(FIGURES))
    figures = run.record(4, events.CheckpointSaved("c", "d", 1.5))
    assert (figures["animatic_training_step"], figures["animatic_training_checkpoint_step"]) == (5, 4)
    assert run.value(6, events.Metrics(FIGURES), "steps_total") == 6


def test_a_resumed_run_has_done_no_steps_yet(run: Run) -> None:
    run.record(2, events.Resumed("c", "d"))
    figures = run.record(2, STARTED)
    assert figures["animatic_training_step"] == 2
    assert figures["animatic_training_steps_total"] == figures["animatic_training_restarts_total"] == 0


def test_skipped_steps_are_warnings_but_other_warnings_are_no_skipped_steps(run: Run) -> None:
    run.record(1, events.Warned("no validation samples"))
    figures = run.record(2, events.StepSkipped(["a"]))
    assert figures["animatic_training_warnings_total"] == 2
    assert figures["animatic_training_skipped_steps_total"] == 1
    assert run.value(2, events.SampleDrawn("s.mp4", "ball"), "samples_total") == 1


def test_a_rollback_counts_and_the_steps_after_it_too(run: Run) -> None:
    run.record(0, STARTED)
    run.record(5, events.Metrics(FIGURES))
    run.record(2, events.Resumed("c", "d"))
    figures = run.record(2, events.RolledBack(from_step=5, data_round=1))
    assert figures["animatic_training_rollbacks_total"] == 1
    assert (figures["animatic_training_step"], figures["animatic_training_steps_total"]) == (2, 5)
    assert figures["animatic_training_restarts_total"] == 0
    assert run.value(3, events.Metrics(FIGURES), "steps_total") == 6


def test_signs_of_life_are_exported_by_worker(run: Run) -> None:
    run.recorder.watch({(0, "node"): Sign(3.0, 8), (1, "node"): Sign(4.0, 7)}, 42.0)
    found = {
        name: [value for (each, _), value in sorted(scrape(run.port).items()) if each == name]
        for name in ("animatic_training_worker_heartbeat_age_seconds", "animatic_training_worker_step")
    }
    assert list(found.values()) == [[3, 4], [8, 7]]
    labels = {labels for (name, labels), _ in scrape(run.port).items() if "heartbeat" in name}
    assert labels == {(("host", "node"), ("rank", "0")), (("host", "node"), ("rank", "1"))}
    assert unlabelled(run.port)["animatic_training_stalled_seconds"] == 42


def test_hangs_that_were_ended_are_counted(run: Run) -> None:
    assert run.value(2, events.HangEnded("hang in step 3: worker 1", [1], 3), "hangs_total") == 1


def test_the_follower_passes_every_event_of_the_journal_on(tmp_path: Path) -> None:
    entries = []
    with JournalFollower(tmp_path / "j", 3, lambda _: None, lambda _: None, entries.append):
        journal = Journal(tmp_path / "j")
        journal.record(0, STARTED)
        journal.record(2, events.CheckpointSaved("c", "d", 1.5))
        journal.close()
    assert [(entry.event, entry.step) for entry in entries] == [("start", 0), ("checkpoint", 2)]


def test_a_port_in_use_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    with (
        pytest.raises(AnimaticError, match=f"port {run.port} .*choose another"),
        served_training(CONFIG, tmp_path, MetricsOptions(run.port, print)),
    ):
        pass


def test_without_a_port_nothing_is_served(tmp_path: Path) -> None:
    with served_training(CONFIG, tmp_path, None) as recorder:
        assert recorder is None


def test_every_metric_is_documented() -> None:
    pages = "".join((ROOT / "docs" / page).read_text() for page in ("data.md", "operations.md"))
    listed = set(re.findall(r"`(?:animatic|…)_[a-z_]+", pages.replace("`…_", "`animatic_ingest_")))
    assert {definition.name for definition in [*INGEST, *TRAINING]} <= {name[1:] for name in listed}


def test_names_follow_the_conventions_of_prometheus() -> None:
    definitions = [*INGEST, *TRAINING]
    names = [definition.name for definition in definitions]
    assert len(set(names)) == len(names)
    for definition in definitions:
        assert definition.name.endswith("_total") == (definition.kind is Kind.COUNTER), definition.name
        assert definition.help.endswith("."), definition.name
