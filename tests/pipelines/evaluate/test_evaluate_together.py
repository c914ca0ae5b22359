"""Several evaluations as one job: it stores what each of them alone would, and continues where it stopped."""

from pathlib import Path

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
def test_a_joint_job_stores_what_single_jobs_store(bundles, clips, tmp_path, workers):
    seen = []
    reports = evaluate_together(
        plans(bundles, clips, tmp_path / "joint", workers=workers),
        lambda done, total: seen.append((done, total)),
    )

    assert (seen[0], seen[-1]) == ((0, 2 * CLIPS), (2 * CLIPS, 2 * CLIPS))
    for n, bundle in enumerate(bundles):
        alone = evaluate(bundle, configure(clips, tmp_path / "alone" / str(n), workers=0))
        assert reports[n] == alone
        assert alone["system"]["digest"] == bundle.id
        files = stored(tmp_path / "alone" / str(n))
        assert {"report.json", "protocol.json", "chunks/chunk-00002.npz"} < files.keys()
        assert stored(tmp_path / "joint" / str(n)) == files
    assert reports[0]["metrics"] != reports[1]["metrics"]


def test_what_is_stored_is_kept_and_the_rest_is_made(bundles, clips, tmp_path):
    planned = plans(bundles, clips, tmp_path, workers=0)
    first = evaluate_together(planned)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("chunk-*")}
    gone = [tmp_path / "0" / "chunks" / "chunk-00001.json", *tmp_path.glob("1/measured/*/chunk-00002.json")]
    for path in gone:
        path.unlink()
    seen = []

    again = evaluate_together(planned, lambda done, _: seen.append(done))

    assert again == first
    # Chunks of two clips, but for the last of five.
    assert seen == [7, 9, 10]
    assert {path for path, when in before.items() if path.stat().st_mtime_ns != when} == {
        *gone,
        tmp_path / "0" / "chunks" / "chunk-00001.npz",
    }


def test_systems_are_loaded_once_and_only_where_something_is_missing(bundles, clips, tmp_path, monkeypatch):
    opened = []
    planned = plans(bundles, clips, tmp_path, workers=0)
    system = type(planned[0].system)
    load = system.open

    def recording(self, device):
        opened.append(self.record["digest"])
        return load(self, device)

    monkeypatch.setattr(system, "open", recording)
    evaluate_together(planned)
    assert opened == [bundle.id for bundle in bundles]
    for path in (tmp_path / "1").rglob("chunk-00000.json"):
        path.unlink()
    evaluate_together(planned)
    assert opened[2:] == [bundles[1].id]


def test_evaluations_of_different_actors_or_one_folder_are_refused(bundles, clips, tmp_path):
    first, second = plans(bundles, clips, tmp_path, workers=0)
    others = plans(bundles, clips, tmp_path / "other", workers=1)
    with pytest.raises(AnimaticError, match="need the same workers, gpus_per_worker and address"):
        evaluate_together([first, others[1]])
    with pytest.raises(AnimaticError):
        evaluate_together([first, first])
    with pytest.raises(AnimaticError, match="holds an evaluation with another system"):
        evaluate_together([plans(bundles[1:], clips, tmp_path, workers=0)[0], second])
