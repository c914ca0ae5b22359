"""A job gets the request that the user made: the same configuration, with paths that every node can use."""

import shlex
from pathlib import Path

import pytest

from orchestration.launch.jobs import JobRequest, Resources
from orchestration.monitoring import MonitoringOptions
from orchestration.workflows.encode import EncodeOptions
from orchestration.workflows.evaluate import EvaluateOptions, SystemOptions
from orchestration.workflows.ingest import IngestOptions, RetryOptions
from orchestration.workflows.job_requests import (
    encode_job,
    evaluate_job,
    ingest_job,
    retry_job,
    score_job,
    train_job,
)
from orchestration.workflows.sampling import SamplingOptions
from orchestration.workflows.score import ScoreOptions
from orchestration.workflows.train_request import TrainOptions, resolve_config
from orchestration.workspace import Workspace
from training.config import config_hash, resolve

CPUS, GPUS = Resources(3, 24, 0), Resources(3, 96, 16)
WORKSPACE = Workspace(Path("runs"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


def words(request: JobRequest) -> list[str]:
    """The command of the job."""
    return shlex.split(request.entrypoint.removeprefix("exec python -m orchestration.job "))


def in_job(request: JobRequest) -> TrainOptions:
    """The options that the command in the job gets."""
    given = [word.removeprefix("--").partition("=") for word in words(request)[1:]]
    values = {name: value for name, _, value in given if name != "set"}
    return TrainOptions(
        stage=int(values["stage"]),
        preset=values["preset"],
        gpus=int(values["gpus"]),
        sets=tuple(value for name, _, value in given if name == "set"),
    )


def test_a_run_has_the_same_configuration_in_the_job(here: Path) -> None:
    (here / "mine.yaml").write_text(
        "optimizer: {lr: 0.00001}\nvalidation: {prompts: ['a: b', '#c']}\n"
        "data: {others: [{dataset: more, weight: [[0, 1.0], [10, 0.5]]}], latents: s3://bucket/latents}\n"
    )
    options = TrainOptions(
        stage=3,
        preset="512",
        files=(here / "mine.yaml",),
        sets=(
            "model.height=320",
            "train.steps=7",
            "init.base=bundles/base",
            "model.codec.path=~/codec",
            "seed=5",
        ),
        data="data: odd #1",
        gpus=8,
    )
    request = train_job(options, WORKSPACE, CPUS)
    resolved, here_config = resolve_config(in_job(request)), resolve_config(options)
    assert config_hash(resolved) == config_hash(here_config) == request.config_hash
    assert resolved.optimizer == here_config.optimizer
    assert resolved.validation == here_config.validation
    assert resolved.launch == here_config.launch
    assert resolved.data.dataset == f"{here}/data: odd #1"
    assert (resolved.data.others[0].dataset, resolved.data.latents) == (f"{here}/more", "s3://bucket/latents")
    assert resolved.init.base == f"{here}/bundles/base"
    assert resolved.model.codec.path == str(Path("~/codec").expanduser())


@pytest.mark.parametrize("preset", ["tiny", "256", "512", "1024"])
def test_a_preset_needs_no_settings(preset: str) -> None:
    for stage in (1, 2, 3):
        request = train_job(TrainOptions(stage=stage, preset=preset), WORKSPACE, CPUS)
        assert words(request) == ["train", f"--stage={stage}", f"--preset={preset}", "--gpus=0"]
        assert request.config_hash == config_hash(resolve(stage, preset))


@pytest.mark.parametrize(
    ("cluster", "given", "preset", "gpus"),
    [(CPUS, None, "tiny", 0), (GPUS, None, "256", 16), (GPUS, 0, "tiny", 0), (CPUS, 8, "256", 8)],
)
def test_preset_and_processes_are_those_of_the_cluster(
    cluster: Resources, given: int | None, preset: str, gpus: int
) -> None:
    request = train_job(TrainOptions(stage=1, gpus=given), WORKSPACE, cluster)
    assert (request.options, request.processes) == (("--stage=1", f"--preset={preset}"), (f"--gpus={gpus}",))


def test_the_number_of_processes_is_no_part_of_the_work() -> None:
    def work(*sets: str, gpus: int | None = None) -> str:
        return train_job(TrainOptions(stage=1, preset="256", sets=sets, gpus=gpus), WORKSPACE, CPUS).work

    assert work(gpus=8) == work(gpus=4) == work("launch.wait_s=60", "launch.workers=2")
    assert work("train.steps=9") != work()


def test_a_local_tracker_is_named_by_its_path(here: Path) -> None:
    options = TrainOptions(stage=1, preset="tiny", sets=("tracking.mlflow_uri=sqlite:///runs/m.db",))
    assert f'--set=tracking.mlflow_uri="sqlite:///{here}/runs/m.db"' in words(
        train_job(options, WORKSPACE, CPUS)
    )


def test_data_verbs_name_absolute_paths_and_urls_as_they_are(here: Path) -> None:
    (here / "bundle").mkdir()
    monitoring = MonitoringOptions(track=False)
    ingest = IngestOptions(
        "t.csv", videos="v", output="s3://b/out", where="a > 1", replace=True, sets=("csv.escape=x",)
    )
    requests = [
        ingest_job(ingest, monitoring, WORKSPACE),
        retry_job(RetryOptions(("fetch_timeout", "x"), "d"), MonitoringOptions(), WORKSPACE),
        encode_job(EncodeOptions("d", "l", stills=True, workers=3), WORKSPACE, GPUS),
        encode_job(EncodeOptions("d", "l", gpus=8), WORKSPACE, CPUS),
        score_job(ScoreOptions("d", Path("w.pt"), gpus=8), WORKSPACE),
        evaluate_job(
            EvaluateOptions(
                "d",
                bundle="bundle",
                steps=2,
                sampling=SamplingOptions(solver="unipc", cache_every=2),
                extractors={"i3d": "a.pt@1f", "clip": "/c"},
            ),
            WORKSPACE,
        ),
        evaluate_job(EvaluateOptions("d", bundle="1a2b3c", gpus=8), WORKSPACE),
        evaluate_job(EvaluateOptions("d", system=SystemOptions(newest=True, preset="512")), WORKSPACE),
        evaluate_job(
            EvaluateOptions(
                "d",
                system=SystemOptions(
                    "msrvtt", "all", "longest", baseline="i2vgen-xl", weights=Path("w"), size="16x256x256"
                ),
            ),
            WORKSPACE,
        ),
        evaluate_job(EvaluateOptions("d", system=SystemOptions(generated=Path("g"))), WORKSPACE),
    ]
    assert {request.runs for request in requests} == {f"{here}/runs"}
    assert [" ".join(words(request)) for request in requests] == [
        f"ingest --videos={here}/v --out=s3://b/out --where=a > 1 --replace --set=csv.escape=x --no-track "
        f"-- {here}/t.csv",
        f"retry --class=fetch_timeout --class=x -- {here}/d",
        f"encode --to={here}/l --preset=256 --stills --precision=float32 --workers=3 -- {here}/d",
        f"encode --to={here}/l --preset=256 --precision=float32 --gpus=8 -- {here}/d",
        f"score --metrics=clip --weights={here}/w.pt --model=ViT-H-14 --frames=4 --batch=64 --gpus=8 "
        f"-- {here}/d",
        f"evaluate --bundle={here}/bundle --steps=2 --solver=unipc --cache-every=2 --seed=0 "
        f"--extractor=i3d={here}/a.pt@1f --extractor=clip=/c -- {here}/d",
        f"evaluate --bundle=1a2b3c --seed=0 --gpus=8 -- {here}/d",
        f"evaluate --newest --preset=512 --seed=0 -- {here}/d",
        f"evaluate --seed=0 --protocol=msrvtt --split=all --captions=longest --baseline=i2vgen-xl "
        f"--weights={here}/w --size=16x256x256 -- {here}/d",
        f"evaluate --seed=0 --generated={here}/g -- {here}/d",
    ]
