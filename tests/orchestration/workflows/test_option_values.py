"""Options that become settings are used as they are: no path, URL or name is ever parsed as YAML."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.demo.collection import Amounts
from orchestration.demo.jobs import stage_options
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import Demo, Settings
from orchestration.registry import accept
from orchestration.workflows.encode import EncodeOptions, prepare_encode
from orchestration.workflows.evaluate import EvaluateOptions, prepare_evaluation
from orchestration.workflows.ingest import IngestOptions, RetryOptions, prepare_ingest, prepare_retry
from orchestration.workflows.train_request import TrainOptions, resolve_config, with_parent
from orchestration.workspace import Workspace
from tests.support.console import quiet_console
from tests.support.small_stages import make_bundle, small_sets

# Each of them means something else in YAML: a comment, a number, a mapping, a list, a date, a boolean …
HOSTILE = ("/data/x #2", "2024", "a: b", "[1, 2]", "2024-01-01", "yes", "null", "~", "{x}", "'quoted'", "1e3")
hostile = pytest.mark.parametrize("text", HOSTILE)


@hostile
def test_data_and_address_of_training(text):
    config = resolve_config(TrainOptions(1, "tiny", data=text, address=text, gpus=0))
    assert (config.data.dataset, config.launch.address) == (text, text)


@hostile
def test_values_from_python_yield_to_assignments_alone(text):
    options = TrainOptions(1, "tiny", values={"data.dataset": text, "init.base": text}, gpus=0)
    config = resolve_config(options)
    assert (config.data.dataset, config.init.base) == (text, text)
    options = TrainOptions(1, "tiny", values={"data.dataset": text}, sets=("data.dataset=other",), gpus=0)
    assert resolve_config(options).data.dataset == "other"


@hostile
def test_a_found_parent(tmp_path, text):
    workspace = Workspace(tmp_path / "runs")
    folder = tmp_path / text.replace("/", "_")
    make_bundle(folder, stage=2)
    accept(workspace.ledger, open_bundle(folder))
    options = TrainOptions(3, "tiny", sets=tuple(small_sets(3)), gpus=0)
    assert resolve_config(with_parent(options, workspace)).init.parent == str(folder)


@hostile
def test_every_text_option_of_ingest(text):
    options = IngestOptions(source=text, output=text, videos=text, where=text, address=text)
    config = prepare_ingest(options, Workspace(Path("runs"))).config
    assert (config.source, config.output, config.videos) == (text, text, text)
    assert (config.where, config.address) == (text, text)


@hostile
def test_every_text_option_of_retry(text):
    options = RetryOptions(reasons=("fetch_timeout",), dataset=text, videos=text, address=text)
    request = prepare_retry(options, Workspace(Path("runs")))
    assert request.dataset == text
    assert request.settings == {"videos": text, "address": text}


@hostile
def test_every_text_option_of_encode(text):
    options = EncodeOptions(dataset=text, output=text, preset="tiny", address=text)
    config = prepare_encode(options, Workspace(Path("runs")))
    assert (config.dataset, config.output, config.address) == (text, text, text)


@hostile
def test_every_text_option_of_evaluate(tmp_path, text):
    make_bundle(tmp_path / "bundle")
    options = EvaluateOptions(
        data=text, bundle=str(tmp_path / "bundle"), folder=tmp_path / text, address=text
    )
    config = prepare_evaluation(options, Workspace(tmp_path / "runs")).config
    assert (config.data, config.output, config.address) == (text, tmp_path / text, text)


@hostile
def test_the_folders_of_the_demo(tmp_path, text):
    out = tmp_path / text
    progress = DemoProgress(quiet_console(), [])
    demo = Demo(out, Workspace(tmp_path), Settings(Amounts()), progress, {"stage 1": out / "run"})
    config = resolve_config(stage_options(demo, 2))
    assert config.data.dataset == str(out / "data")
    assert config.init.parent == str(out / "run" / "bundle")
    assert config.validation.every == config.train.steps


def test_assignments_are_yaml_and_win_over_options():
    options = IngestOptions(source="a.csv", seed=3, sets=("seed=4", "filters.min_motion=0.5"))
    config = prepare_ingest(options, Workspace(Path("runs"))).config
    assert (config.seed, config.filters.min_motion) == (4, 0.5)
    with pytest.raises(AnimaticError, match="did you mean 'crf'"):
        prepare_ingest(IngestOptions(source="a.csv", sets=("crff=3",)), Workspace(Path("runs")))
