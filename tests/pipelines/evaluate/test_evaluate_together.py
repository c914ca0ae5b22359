"""Several evaluations as one job: it stores what each of them alone would, and continues where it stopped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from core.errors import AnimaticError
from pipelines.evaluate import EvaluationPlan, bundle_system, evaluate, evaluate_together, plan_evaluation
from tests.support.small_evaluation import configure, make_bundle, make_clips

CLIPS = 5


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [make_bundle(folder / str(seed), seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"), CLIPS)


def plans(bundles, clips: Path, folder: Path, **changes: object) -> list[EvaluationPlan]:
    configs = [configure(clips, folder / str(n), **changes) for n in range(len(bundles))]
    return [
        plan_evaluation(bundle_system(bundle, config), config)
        for bundle, config in zip(bundles, configs, strict=True)
    ]


@dataclass(frozen=True)
class Joint:
    """A finished joint job of all systems.

    Attributes:
        seen: progress, as (done, total).
        opened: digests of the bundles that were loaded, in order.
    """

    folder: Path
    reports: list[dict[str, Any]]
    seen: list[tuple[int, int]]
    opened: list[str]


@contextmanager
def recording_loads(plan: EvaluationPlan) -> Iterator[list[str]]:
    """Digests of the bundles that are loaded meanwhile, in order."""
    opened: list[str] = []
    system = type(plan.system)
    load = system.open

    def recording(self, device):
        opened.append(self.record["digest"])
        return load(self, device)

    with patch.object(system, "open", recording):
        yield opened


def run_jointly(planned: list[EvaluationPlan], folder: Path) -> Joint:
    seen: list[tuple[int, int]] = []
    with recording_loads(planned[0]) as opened:
        reports = evaluate_together(planned, lambda done, total: seen.append((done, total)))
    return Joint(folder, reports, seen, opened)


@pytest.fixture(scope="module")
def joint(bundles, clips, tmp_path_factory):
    """In one process."""
    folder = tmp_path_factory.mktemp("joint") / "joint"
    return run_jointly(plans(bundles, clips, folder, workers=0), folder)


def stored(folder: Path) -> dict[str, bytes]:
    """The files of an evaluation whose bytes do not depend on time."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    timed = ("timings.json", ".lock")
    named = {path.relative_to(folder).as_posix(): path for path in files if path.name not in timed}
    return {
        name: path.read_bytes()
        for name, path in named.items()
        if not name.endswith(".json") or name in ("report.json", "protocol.json")
    }


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_joint_job_stores_what_single_jobs_store(joint, bundles, clips, tmp_path, workers):
    if workers:
        joint = run_jointly(plans(bundles, clips, tmp_path / "joint", workers=workers), tmp_path / "joint")

    assert (joint.seen[0], joint.seen[-1]) == ((0, 2 * CLIPS), (2 * CLIPS, 2 * CLIPS))
    for n, bundle in enumerate(bundles):
        alone = evaluate(bundle, configure(clips, tmp_path / "alone" / str(n), workers=0))
        assert joint.reports[n] == alone
        assert alone["system"]["digest"] == bundle.id
        files = stored(tmp_path / "alone" / str(n))
        assert {"report.json", "protocol.json", "chunks/chunk-00002.npz"} < files.keys()
        assert stored(joint.folder / str(n)) == files
    assert joint.reports[0]["metrics"] != joint.reports[1]["metrics"]


def test_what_is_stored_is_kept_and_the_rest_is_made(joint, bundles, clips, tmp_path):
    shutil.copytree(joint.folder, tmp_path, dirs_exist_ok=True)
    planned = plans(bundles, clips, tmp_path, workers=0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("chunk-*")}
    gone = [tmp_path / "0" / "chunks" / "chunk-00001.json", *tmp_path.glob("1/measured/*/chunk-00002.json")]
    for path in gone:
        path.unlink()
    seen = []

    again = evaluate_together(planned, lambda done, _: seen.append(done))

    assert again == joint.reports
    # Chunks of two clips, but for the last of five.
    assert seen == [7, 9, 10]
    assert {path for path, when in before.items() if path.stat().st_mtime_ns != when} == {
        *gone,
        tmp_path / "0" / "chunks" / "chunk-00001.npz",
    }


def test_systems_are_loaded_once_and_only_where_something_is_missing(joint, bundles, clips, tmp_path):
    assert joint.opened == [bundle.id for bundle in bundles]
    shutil.copytree(joint.folder, tmp_path, dirs_exist_ok=True)
    planned = plans(bundles, clips, tmp_path, workers=0)
    for path in (tmp_path / "1").rglob("chunk-00000.json"):
        path.unlink()
    with recording_loads(planned[1]) as opened:
        evaluate_together(planned)
    assert opened == [bundles[1].id]


def test_evaluations_of_different_actors_or_one_folder_are_refused(bundles, clips, tmp_path):
    first, second = plans(bundles, clips, tmp_path, workers=0)
    others = plans(bundles, clips, tmp_path / "other", workers=1)
    with pytest.raises(AnimaticError, match="need the same workers, gpus_per_worker and address"):
        evaluate_together([first, others[1]])
    with pytest.raises(AnimaticError):
        evaluate_together([first, first])
    with pytest.raises(AnimaticError, match="holds an evaluation with another system"):
        evaluate_together([plans(bundles[1:], clips, tmp_path, workers=0)[0], second])
