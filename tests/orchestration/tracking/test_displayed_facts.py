"""Trackers display what a run's folder and the ledger record, from its inputs to its promotion."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from models.bundle import open_bundle
from orchestration.registry import rollback
from orchestration.tracking import Evaluated, record_evaluation, sync
from orchestration.tracking.backends import MlflowBackend, WandbBackend
from orchestration.tracking.evaluations import run_of_bundle
from orchestration.workflows.evaluation_record import attach_report
from orchestration.workflows.sync import SyncOptions, display_bundle, sync_run
from orchestration.workflows.tracked_changes import follow_change
from orchestration.workspace import Workspace
from pipelines.evaluate import read_report
from tests.support.promotions import evaluated, promote
from tests.support.small_stages import make_bundle
from tests.support.tracked_runs import append, make_run
from tests.support.wandb_file import finished_records
from training.run_folder import RunFolder

PROJECT = "animatic"
LOCK = "f" * 64
SECRET = "hunter2"
HOSTS = [
    {
        "host": f"node-{number}",
        "ranks": [2 * number, 2 * number + 1],
        "platform": "Linux",
        "cpu": "EPYC",
        "cores": 64,
        "memory_bytes": 1 << 39,
        "gpus": [{"rank": 2 * number + each, "name": "NVIDIA H100"} for each in range(2)],
        "driver": "570.1",
    }
    for number in range(2)
]
ENVIRONMENT = {"python": "3.11.9", "platform": "Linux", "cuda": "13.2", "lock": LOCK, "packages": 2}


def finished_run(folder: Path, seed: int = 0, parent: str | None = None) -> str:
    """A run of stage 3 with a bundle and the newer of two checkpoints; returns the bundle's id."""
    url = f"https://ann:{SECRET}@host/clips/"
    config = {"stage": 3, "preset": "tiny", "tracking": {"project": PROJECT}, "data": {"dataset": url}}
    make_run(folder, json.dumps(config))
    (folder / "environment.json").write_text(json.dumps({"packages": {"torch": "2.15", "ray": "2.60"}}))
    start = {"stage": 3, "preset": "tiny", "steps": 4000, "workers": 4, "device": "cuda", "clips": 1234}
    sizes = {"parameters": 9, "trainable": 4, "weights": 1_400_000, "trainable_weights": 1_200_000}
    inputs = {"dataset_digest": "d" * 64, "base": None, "parent": parent, "code": "0.1.0"}
    append(folder, "start", 5, config_hash="c" * 16, **start, **sizes, **inputs)
    append(folder, "environment", 5, **ENVIRONMENT, hosts=HOSTS)
    paths = RunFolder(folder)
    for step in (1000, 2000):
        append(folder, "checkpoint", step, uri=str(paths.checkpoints / f"step-{step}"), digest=f"{step}" * 8)
    (paths.checkpoints / "step-2000").mkdir(parents=True)
    bundle = make_bundle(paths.bundle, seed=seed)
    append(folder, "bundle", 4000, path=str(paths.bundle), id=bundle)
    append(folder, "end", 4000)
    return bundle


@pytest.fixture
def workspace(tmp_path, empty_store, monkeypatch) -> Workspace:
    monkeypatch.delenv("ANIMATIC_MLFLOW_URI", raising=False)
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_store, tmp_path / "runs" / "mlflow.db")
    return Workspace(tmp_path / "runs")


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri=workspace.mlflow_uri)


def tracked(workspace: Workspace, name: str, experiment: str = "animatic / tiny / stage 3") -> Run:
    found = client(workspace).get_experiment_by_name(experiment)
    (run,) = client(workspace).search_runs([found.experiment_id], f"attributes.run_name = '{name}'")
    return run


def delivered(workspace: Workspace, name: str) -> Run:
    (report,) = sync_run(SyncOptions(workspace.root / name, wandb="disabled"), workspace)
    assert report.error is None
    return tracked(workspace, name)


def text(workspace: Workspace, run: Run, name: str) -> str:
    return Path(client(workspace).download_artifacts(run.info.run_id, name)).read_text()


def test_mlflow_has_what_a_run_began_with_and_what_it_made(workspace):
    bundle = finished_run(workspace.root / "a-run")
    run = delivered(workspace, "a-run")
    tags = run.data.tags
    assert (tags["preset"], tags["stage"], tags["config_hash"]) == ("tiny", "3", "c" * 16)
    assert (tags["dataset.digest"], tags["bundle.id"]) == ("d" * 64, bundle)
    counts = {name: tags[f"count.{name}"] for name in ("steps", "clips", "parameters", "tensors")}
    assert counts == {"steps": "4000", "clips": "1234", "parameters": "1400000", "tensors": "9"}
    assert (tags["environment.lock"], tags["environment.packages"]) == (LOCK, "2")
    assert (tags["environment.hosts"], tags["environment.gpus"]) == ("node-0, node-1", "4 × NVIDIA H100")
    assert tags["registry.aliases"] == tags["gate.outcome"] == ""
    (kept,) = json.loads(text(workspace, run, "checkpoints.json"))
    path = (workspace.root / "a-run" / "checkpoints" / "step-2000").resolve()
    assert kept == {"step": 2000, "uri": path.as_uri(), "digest": "2000" * 8}
    assert json.loads(text(workspace, run, "environment.json"))["packages"]["ray"] == "2.60"
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("clips", "d" * 36)
    assert json.loads(used.dataset.source) == {"uri": "https://host/clips/"}
    assert SECRET not in text(workspace, run, "config.yaml") + tags["mlflow.note.content"]


def test_the_description_links_the_parts_of_a_run(workspace):
    parent = finished_run(workspace.root / "parent")
    parent_run = delivered(workspace, "parent")
    bundle = finished_run(workspace.root / "child", seed=1, parent=parent)
    run = delivered(workspace, "child")
    note = run.data.tags["mlflow.note.content"]
    here = f"#/experiments/{run.info.experiment_id}/runs"
    assert "**Preset tiny, stage 3: detail guidance.** 1,234 clips, 4,000 steps, 4 workers on cuda" in note
    assert f"| parent | bundle [`{parent[:12]}`]({here}/{parent_run.info.run_id}) |" in note
    environment = f"Python 3.11.9, packages `{LOCK[:12]}`, 4 × NVIDIA H100 on 2 machines"
    assert f"[{environment}]({here}/{run.info.run_id}/artifacts/environment.json)" in note
    assert (
        f"| checkpoint | step 2,000: `{(workspace.root / 'child' / 'checkpoints').as_uri()}/step-2000`"
        in note
    )
    assert f"| lineage | `animatic lineage {bundle[:12]} --html lineage.html` |" in note


def test_a_finished_evaluation_is_attached_to_the_run_of_its_bundle_once(workspace):
    finished_run(workspace.root / "a-run")
    bundle = open_bundle(workspace.root / "a-run" / "bundle")
    assert run_of_bundle(bundle.folder) == (workspace.root / "a-run").resolve()
    delivered(workspace, "a-run")
    path = evaluated(bundle, workspace)
    report = read_report(path)
    (path.parent / "clips").mkdir()
    (path.parent / "clips" / "0.mp4").write_bytes(b"a clip")
    (path.parent / "index.html").write_text('<video src="clips/0.mp4" poster="clips/1.png"></video>')
    assert attach_report(bundle, report, path.parent, workspace) is None
    run, name = tracked(workspace, "a-run"), f"reports/{path.parent.name}"
    assert json.loads(text(workspace, run, f"{name}/report.json"))["digest"] == report["digest"]
    assert 'src="data:video/mp4;base64,YSBjbGlw" poster="clips/1.png"' in text(
        workspace, run, f"{name}/index.html"
    )
    assert f"artifacts/{name}/index.html" in run.data.tags["mlflow.note.content"]
    shutil.rmtree(workspace.root / "mlartifacts")
    assert attach_report(bundle, report, path.parent, workspace) is None
    assert follow_change(promote(workspace.ledger, bundle), workspace) is None
    assert tracked(workspace, "a-run").data.tags["registry.aliases"] == "champion"
    assert not (workspace.root / "mlartifacts").exists()


def test_tags_follow_the_ledger(workspace):
    names = ("first", "second")
    for seed, name in enumerate(names):
        finished_run(workspace.root / name, seed)
        delivered(workspace, name)
    entries = [promote(workspace.ledger, open_bundle(workspace.root / name / "bundle")) for name in names]
    assert follow_change(entries[1], workspace) is None
    tags = {name: tracked(workspace, name).data.tags for name in names}
    assert [tags[name]["registry.aliases"] for name in names] == ["previous", "champion"]
    assert [tags[name]["gate.outcome"] for name in names] == ["PASS", "PASS"]
    assert "| registry aliases | champion |" in tags["second"]["mlflow.note.content"]
    assert follow_change(rollback(workspace.ledger), workspace) is None
    aliases = [tracked(workspace, name).data.tags["registry.aliases"] for name in names]
    assert aliases == ["champion", ""]


def test_a_run_that_no_tracker_has_and_a_bundle_without_a_run_are_left_alone(workspace, tmp_path):
    finished_run(workspace.root / "a-run")
    assert display_bundle(workspace.root / "a-run" / "bundle", workspace) == []
    make_bundle(tmp_path / "imported")
    assert display_bundle(tmp_path / "imported", workspace) == []
    assert client(workspace).get_experiment_by_name("animatic / tiny / stage 3") is None
    (tmp_path / "a-run").mkdir()


def test_a_tracker_that_fails_does_not_fail_the_evaluation(workspace):
    finished_run(workspace.root / "a-run")
    bundle = open_bundle(workspace.root / "a-run" / "bundle")
    delivered(workspace, "a-run")
    path = evaluated(bundle, workspace)
    report = read_report(path)
    (workspace.root / "mlflow.db").write_text("not a database " * 100)
    problem = attach_report(bundle, report, path.parent, workspace)
    assert problem is not None and "animatic sync" in problem


def test_a_run_of_an_earlier_version_stays_in_its_experiment(workspace):
    config = json.dumps({"stage": 3, "preset": "tiny", "tracking": {"project": PROJECT}})
    folder = make_run(workspace.root / "old", config)
    sync(folder, PROJECT, [MlflowBackend(workspace.mlflow_uri)])
    run = tracked(workspace, "old")
    artifacts = (workspace.root / "mlartifacts").as_uri()
    identifier = client(workspace).create_experiment(PROJECT, artifact_location=artifacts)
    earlier = client(workspace).create_run(identifier, run_name="old", tags={"animatic.run": "earlier"})
    client(workspace).delete_run(run.info.run_id)
    (folder / "tracking" / "id").write_text("earlier")
    for state in (folder / "tracking").glob("*.json"):
        state.unlink()
    (report,) = sync(folder, PROJECT, [MlflowBackend(workspace.mlflow_uri)])
    assert report.error is None and report.points == 5
    found = tracked(workspace, "old", PROJECT)
    assert (found.info.run_id, found.data.metrics) == (earlier.info.run_id, {"train/loss": 0.2})


def test_wandb_gets_the_same_facts_and_the_bundle_by_reference(workspace):
    folder = workspace.root / "a-run"
    bundle = finished_run(folder)
    path = evaluated(open_bundle(folder / "bundle"), workspace)
    report, name = read_report(path), path.parent.name
    (path.parent / "index.html").write_text("<p>a page</p>")
    values = {name: metric["value"] for name, metric in report["metrics"].items()}
    record = Evaluated(
        time=1.0,
        bundle=bundle,
        folder=str(path.parent),
        report=report["digest"],
        protocol="held-out",
        clips=12,
        values=values,
    )
    record_evaluation(folder, record)
    for _ in range(2):
        (result,) = sync(folder, PROJECT, [WandbBackend("offline", PROJECT)])
        assert result.error is None
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    records = finished_records(file)
    run = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (run.project, run.run_group, run.job_type) == (PROJECT, "tiny / stage 3", "train")
    summary = {
        item.key: json.loads(item.value_json)
        for record in records
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert summary["environment.gpus"] == "4 × NVIDIA H100"
    assert summary["bundle.id"] == bundle
    (artifact,) = [r.artifact for r in records if r.WhichOneof("record_type") == "artifact"]
    references = {entry.path: entry.ref for entry in artifact.manifest.contents}
    weights = (folder / "bundle" / "model.safetensors").resolve().as_uri()
    assert references[f"{bundle[:16]}/model.safetensors"] == weights
    digests = json.loads(artifact.metadata)["sha256"]
    assert digests["bundle.json"] == bundle
    assert digests["model.safetensors"] == open_bundle(folder / "bundle").info.files["model.safetensors"]
    size = (folder / "bundle" / "model.safetensors").stat().st_size
    files = [path for path in (folder / "wandb").rglob("*") if path.is_file()]
    assert not [path for path in files if path.stat().st_size >= size]
    assert [path for path in files if path.match(f"files/animatic/reports/{name}/report.json")]
    assert [path for path in files if path.match("files/media/html/reports/*.html")]
