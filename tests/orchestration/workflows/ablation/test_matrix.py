"""The matrix of an ablation: what its cells share, and what may be chosen."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.workflows.ablation import AblationOptions, AblationRequest, plan_ablation, prepare_ablation
from orchestration.workflows.train_request import resolve_config
from orchestration.workspace import Workspace
from training.config import resolve


def request(*sets: str, **options: object) -> AblationRequest:
    chosen = AblationOptions("tiny", data=None, held_out=None, sets=sets, **options)
    return prepare_ablation(chosen, Workspace(Path("runs")))


def titles(found: AblationRequest) -> dict[str, list[str]]:
    return {cell.variant.name: [run.title for run in cell.runs] for cell in found.matrix.cells}


def test_stages_that_do_not_differ_are_one_run():
    found = request()
    assert titles(found) == {
        "full": ["stage 1", "stage 2", "stage 3"],
        "no-context": ["stage 2 (no context)", "stage 3 (no context)"],
        "no-detail-guidance": ["stage 1", "stage 2", "stage 3 (no detail guidance)"],
        "class-token": [f"stage {number} (class token)" for number in (1, 2, 3)],
        "first-frame": ["stage 1", "stage 2 (first frame)", "stage 3 (first frame)"],
        "no-adaptation": ["stage 1", "stage 3 (one stage)"],
        "joint": ["stage 3 (joint)"],
    }
    assert sorted(run.stage for run in found.matrix.runs) == [1] * 2 + [2] * 4 + [3] * 7
    done = set()
    for run in found.matrix.runs:
        assert run.parent is None or run.parent in done
        done.add(run)


def test_variants_without_adaptation_train_as_long_on_clips():
    steps = {run.title: run.steps for run in request("train.steps=30").matrix.runs}
    assert steps["stage 3"] == 30
    assert steps["stage 3 (one stage)"] == steps["stage 3 (joint)"] == 60
    own = {run.title: run.steps for run in request().matrix.runs}
    assert own["stage 3 (joint)"] == own["stage 2"] + own["stage 3"]


def test_each_seed_has_runs_of_its_own_from_the_configured_one_on():
    found = request("seed=5", seeds=3)
    assert found.seeds == [5, 6, 7]
    assert len(found.matrix.runs) == 3 * len(request().matrix.runs)


def test_runs_are_configured_by_the_switches_of_their_variant():
    found = request("optimizer.lr=0.1", variants=("class-token",))
    configs = [resolve_config(found.train_options(run, Path("parent"))) for run in found.matrix.runs]
    assert {config.optimizer.lr for config in configs} == {0.1}
    tokens = [config.model.context and config.model.context.tokens for config in configs]
    assert tokens == ["all"] * 3 + ["class"] * 3
    assert {config.init.parent for config in configs} == {"parent"}


def test_the_condition_is_a_random_frame_but_for_the_variant_whatever_the_preset_has():
    found = request(variants=("first-frame", "joint"))
    runs = {run: resolve_config(found.train_options(run, Path("parent"))) for run in found.matrix.runs}
    chosen = {run.title: config.data.sampling.condition for run, config in runs.items() if run.stage == 3}
    assert chosen == {
        "stage 3": "random",
        "stage 3 (first frame)": "first",
        "stage 3 (joint)": "random",
    }
    assert resolve(3, "tiny").data.sampling.condition == "first"


def test_the_whole_method_is_always_part_of_the_matrix():
    assert [cell.variant.name for cell in request(variants=("joint",)).matrix.cells] == ["full", "joint"]


@pytest.mark.parametrize(
    ("sets", "variants", "message"),
    [
        ((), ("no-contxt",), "did you mean no-context"),
        ((), ("zzz",), "choose from full, no-context"),
        (("ablation.no_context=true",), (), "the matrix sets ablation itself"),
        (("init={parent: elsewhere}",), (), "the matrix sets init.parent itself"),
        (("train.stepz=3",), (), "train.stepz"),
        (("data.sampling.condition=random",), (), r"the matrix sets data\.sampling\.condition itself"),
        (("seed=4294967295",), (), "exceed the largest"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(sets, variants, message):
    with pytest.raises(AnimaticError, match=message):
        request(*sets, variants=variants, seeds=2)


def test_a_plan_before_the_data_exists_estimates_everything(tmp_path):
    found = request(expected_clips=60, folder=tmp_path)
    plan = plan_ablation(found)
    assert {run.state for cell in plan.cells for run in cell.runs} == {"to do"}
    assert plan.seconds is not None and 20 * 60 < plan.seconds < 90 * 60
    assert list(tmp_path.iterdir()) == []
