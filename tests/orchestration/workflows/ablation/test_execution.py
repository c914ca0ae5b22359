"""Cells that fail, stop and resume; trainings and evaluations are those of tests here."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import AnimaticError
from orchestration.workflows.ablation import (
    RESULTS,
    AblationOptions,
    AblationRecord,
    execution,
    failed,
    prepare_ablation,
    run_ablation,
)
from orchestration.workflows.train_request import resolve_config
from orchestration.workspace import Workspace


class Observer:
    def __init__(self) -> None:
        self.finished: list[tuple[str, bool]] = []
        self.warnings: list[str] = []

    @contextmanager
    def training(self, title: str) -> Iterator[Callable[..., None]]:
        yield lambda *_: None

    evaluating = training

    def done(self, title: str, *, fresh: bool) -> None:
        self.finished.append((title, fresh))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@dataclass
class Work:
    """Trainings and evaluations that are instant; ``broken``: switches of runs that fail."""

    root: Path
    broken: set[str] = field(default_factory=set)
    trained: list[str] = field(default_factory=list)

    def prepare(self, options: Any, workspace: Workspace) -> SimpleNamespace:
        config = resolve_config(options)
        switches = [name for name, on in config.ablation.model_dump().items() if on]
        parent = Path(config.init.parent).name if config.init.parent else ""
        name = "-".join([str(config.stage), *switches, *([parent] if parent else [])])
        return SimpleNamespace(name=name, switches=switches, dataset_digest="d" * 64)

    def train(self, training: SimpleNamespace, *_: object, **__: object) -> SimpleNamespace:
        folder = self.root / training.name
        fresh = not folder.exists()
        if fresh:
            self.trained.append(training.name)
        if self.broken.intersection(training.switches):
            raise AnimaticError("the workers failed")
        folder.mkdir(parents=True, exist_ok=True)
        steps = 1 if fresh else None
        return SimpleNamespace(run=SimpleNamespace(bundle_path=folder, bundle_id=training.name, steps=steps))

    def evaluate(self, planned: SimpleNamespace, _: object) -> dict[str, Any]:
        planned.report.touch()
        return {"digest": "r" * 64, "metrics": {}, "clips": [], "protocol": {"n": 3}, "system": {}}


@pytest.fixture
def work(tmp_path, monkeypatch) -> Work:
    found = Work(tmp_path / "runs")
    monkeypatch.setattr(execution, "prepare_training", found.prepare)
    monkeypatch.setattr(execution.train, "train", found.train)
    monkeypatch.setattr(execution, "open_bundle", lambda path: SimpleNamespace(folder=path))
    monkeypatch.setattr(
        "orchestration.workflows.ablation.request.AblationRequest.evaluate_options",
        lambda self, bundle: bundle,
    )
    monkeypatch.setattr(execution.evaluate, "prepare_evaluation", lambda bundle, workspace: bundle)
    monkeypatch.setattr(
        execution.evaluate, "plan", lambda bundle: SimpleNamespace(report=bundle.folder / "report.json")
    )
    monkeypatch.setattr(execution.evaluate, "evaluate", found.evaluate)
    return found


def ablate(work: Work) -> tuple[AblationRecord, Observer]:
    workspace, observer = Workspace(work.root), Observer()
    request = prepare_ablation(
        AblationOptions("tiny", data="data", held_out=None, folder=work.root), workspace
    )
    return run_ablation(request, observer), observer


def test_each_run_is_trained_once_and_then_found(work):
    _, first = ablate(work)
    assert len(work.trained) == len(set(work.trained)) == 13
    assert {fresh for _, fresh in first.finished} == {True}
    _, second = ablate(work)
    assert len(work.trained) == 13
    assert {fresh for _, fresh in second.finished} == {False}
    assert [title for title, _ in second.finished] == [title for title, _ in first.finished]


def test_a_run_that_fails_stops_only_the_cells_that_need_it(work):
    work.broken = {"first_frame"}
    record, observer = ablate(work)
    assert failed(record) == [("first-frame", "stage 2 (first frame): the workers failed")]
    assert observer.warnings == ["first-frame failed: stage 2 (first frame): the workers failed"]
    reports = {variant["name"]: variant["cells"][0]["report"] for variant in record["variants"]}
    assert [name for name, report in reports.items() if report is None] == ["first-frame"]

    work.broken = set()
    done = len(work.trained)
    again, _ = ablate(work)
    assert failed(again) == []
    assert work.trained[done:] == ["2-first_frame-1", "3-first_frame-2-first_frame-1"]


def test_a_shared_run_that_fails_is_not_tried_for_every_cell(work, monkeypatch):
    train, tried = work.train, []

    def fail_stage_1(training: SimpleNamespace, *rest: object, **options: object) -> SimpleNamespace:
        tried.append(training.name)
        if training.name == "1":
            raise AnimaticError("the disk is full")
        return train(training, *rest, **options)

    monkeypatch.setattr(execution.train, "train", fail_stage_1)
    record, _ = ablate(work)
    assert tried.count("1") == 1
    names = ["full", "no-detail-guidance", "first-frame", "no-adaptation"]
    assert failed(record) == [(name, "stage 1: the disk is full") for name in names]


def test_results_are_written_after_every_cell(work, monkeypatch):
    evaluate, begun = work.evaluate, []

    def interrupt(planned: SimpleNamespace, progress: object) -> dict[str, Any]:
        begun.append(planned)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return evaluate(planned, progress)

    monkeypatch.setattr(execution.evaluate, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ablate(work)
    record = json.loads((work.root / RESULTS).read_text())
    assert [len(variant["cells"]) for variant in record["variants"]] == [1, 1, 0, 0, 0, 0, 0]
    monkeypatch.setattr(execution.evaluate, "evaluate", evaluate)
    ablate(work)
    assert len(work.trained) == 13
