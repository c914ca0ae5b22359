"""An adapter is evaluated with the base that is named for it, wherever that one is now."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.workflows.evaluate import EvaluateOptions, SystemOptions, prepare_evaluation
from orchestration.workflows.job_requests import evaluate_job
from orchestration.workspace import Workspace
from pipelines.evaluate import bundle_system
from tests.support.adapters import write_adapter, write_base


def test_the_base_of_an_adapter_is_the_one_that_is_named(tmp_path):
    write_base(tmp_path / "base")
    write_base(tmp_path / "other", 3, torch.float32, "seed=1")
    adapter, workspace = write_adapter(tmp_path / "run", tmp_path / "base"), Workspace(tmp_path / "runs")
    shutil.move(tmp_path / "base", tmp_path / "elsewhere" / "base")
    options = EvaluateOptions("held-out", str(adapter))
    with pytest.raises(AnimaticError, match=r"name its folder with --base \(animate, evaluate, merge\)"):
        prepare_evaluation(options, workspace)
    with pytest.raises(AnimaticError, match="was trained on"):
        prepare_evaluation(replace(options, base=tmp_path / "other"), workspace)
    named = replace(options, base=tmp_path / "elsewhere" / "base")
    request = prepare_evaluation(named, workspace)
    system = bundle_system(request.system.bundle, request.config)
    # As a worker opens it, from the description alone.
    found = system.open("cpu").animator.network.state_dict()
    wanted = open_bundle(adapter).with_base(named.base).animator().network.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    assert f"--base={named.base}" in evaluate_job(named, workspace).options


def test_a_base_is_refused_where_it_is_without_effect(tmp_path):
    write_base(tmp_path / "base")
    workspace, base = Workspace(tmp_path / "runs"), Path("base")
    with pytest.raises(AnimaticError, match="has whole weights and no base"):
        prepare_evaluation(EvaluateOptions("held-out", str(tmp_path / "base"), base=base), workspace)
    other = EvaluateOptions("held-out", base=base, system=SystemOptions(generated=tmp_path, size="3x8x8"))
    with pytest.raises(AnimaticError, match="no bundle generates: leave it out"):
        prepare_evaluation(other, workspace)
