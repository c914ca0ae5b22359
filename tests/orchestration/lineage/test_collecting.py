"""A lineage reaches from source tables to deployments, and names what was changed, is gone or is silent."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from core.canonical_json import digest_of
from core.storage import Folder
from models.bundle import open_bundle
from orchestration import registry
from orchestration.lineage import LineageGraph, Node, collect_lineage, collect_lineage_of
from orchestration.registry import Draft
from orchestration.workspace import Workspace, display_path
from pipelines.dataset.dataset_record import read_dataset_record, write_dataset_record
from tests.support.lineages import Workbench
from tests.support.small_stages import make_bundle, tamper
from training.config import resolve
from training.journal import read_journal

Damage = Callable[[Path], object]
LIMIT_S = 0.2


def champion_lineage(workspace: Workspace, *, deep: bool = False) -> LineageGraph:
    entry = registry.known_bundle(workspace.ledger, "champion")
    return collect_lineage_of(entry.bundle_id, workspace, deep=deep, limit_s=LIMIT_S).graph


def unverified(graph: LineageGraph) -> dict[str, tuple[str, str]]:
    return {node.title: (node.state, node.reason) for node in graph.nodes if node.state != "verified"}


def paths(graph: LineageGraph, node: Node) -> list[list[str]]:
    """All ways to a node from what comes from nothing, as kinds."""
    ways = [way for source in graph.sources(node.key) for way in paths(graph, source)] or [[]]
    return [[*way, node.kind] for way in ways]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def only(pattern: str, root: Path) -> Path:
    (found,) = root.glob(pattern)
    return found


def test_a_calibrated_copy_comes_from_its_bundle_and_that_one_from_its_run(
    whole: Workbench, tmp_path: Path
) -> None:
    trained, config = whole.bundle("three"), whole.runs["three"].config
    make_bundle(tmp_path / "copy", parent=trained.info.parent, config=config, calibrated=trained.id)
    copy = open_bundle(tmp_path / "copy")
    graph = collect_lineage(copy, whole.workspace, limit_s=LIMIT_S)
    (source,) = graph.sources(f"bundle:{copy.id}")
    assert source.digest == trained.id
    assert [run.where for run in graph.sources(source.key)] == [display_path(whole.runs["three"].folder.path)]
    assert not [node for node in graph.of_kind("run") if node.state == "missing"]


def test_everything_from_the_tables_to_the_deployment_is_connected_and_verified(whole: Workbench) -> None:
    graph = collect_lineage(whole.bundle("final"), whole.workspace)
    assert [node.kind for node in graph.nodes if node.state != "verified"] == ["deployment"]
    ways = paths(graph, graph.of_kind("deployment")[0])
    decided = ["report", "gate", "promotion", "export", "deployment"]
    assert ["source_table", "dataset", *["run", "bundle"] * 4, *decided] in ways
    assert ["source_table", "dataset", "mixture", "run", "checkpoint", "run", "bundle", *decided] in ways
    assert ["source_table", "dataset", "latents", "run", "bundle", *decided] in ways
    assert [node.title for node in graph.of_kind("alias")] == ["champion of tiny"]
    keys = [node.key for node in graph.nodes]
    assert all(keys.index(edge.source) < keys.index(edge.target) for edge in graph.edges)
    run = graph.sources(f"bundle:{graph.bundle_id}")[0]
    known = {"config hash", "code", "environment lock", "seed", "steps", "attempts", "newest checkpoint"}
    assert known <= {fact.label for fact in run.facts}
    document = json.loads(json.dumps(graph.as_json()))
    assert document["format"] == 1 and len(document["nodes"]) == len(graph.nodes)


def test_parts_of_a_moved_workspace_are_found_by_their_digests(moved: Workspace) -> None:
    for deep in (False, True):
        graph = champion_lineage(moved, deep=deep)
        states = {node.kind: node.state for node in graph.nodes if node.state != "verified"}
        assert states == {"export": "missing", "deployment": "not_checked"}
    flip(moved.root / "second/shard-000000.tar")
    flip(moved.root / "first-latents/latents-000000.tar")
    flip(moved.root / "three/checkpoints/step-00000004/weights.bin")
    assert champion_lineage(moved).changed == []
    deeply = {node.kind for node in champion_lineage(moved, deep=True).changed}
    assert deeply == {"dataset", "latents", "checkpoint", "run"}


CHANGES: dict[str, tuple[Damage, str, str]] = {
    "a table": (lambda runs: edit(runs / "first.csv", "moves", "rests"), "table first.csv", "was edited"),
    "a shard": (
        lambda runs: (runs / "second/shard-000000.tar").write_bytes(b"short"),
        "dataset second",
        "bytes",
    ),
    "latents": (lambda runs: only("first-latents/*.tar", runs).unlink(), "latents first-latents", "missing"),
    "the bundle of stage 1": (
        lambda runs: tamper(runs / "one/bundle"),
        "bundle of stage 1, tiny",
        "tampered",
    ),
    "a configuration": (
        lambda runs: edit(runs / "two/config.yaml", "seed: 0", "seed: 1"),
        "run of stage 2 (adaptation), tiny",
        "config.yaml has the hash",
    ),
    "an environment": (
        lambda runs: edit(runs / "one/environment.json", "2.7.0", "2.7.1"),
        "run of stage 1 (context), tiny",
        "environment.json was edited",
    ),
    "a checkpoint": (
        lambda runs: edit(runs / "three/checkpoints/step-00000004/manifest.json", '"step": 4', '"step": 5'),
        "checkpoint after step 4",
        "does not match its digest",
    ),
    "a report": (
        lambda runs: edit(sorted(runs.glob("evaluations/*/report.json"))[0], "12", "13"),
        "report ",
        "edited",
    ),
    "a report beside the ledger": (
        lambda runs: edit(sorted(runs.glob("promotions/report-*"))[0], "12", "13"),
        "report ",
        "does not match its digest",
    ),
    "a gate": (lambda runs: edit(only("promotions/gate-*", runs), "12", "11"), "gate tests: PASS", "digest"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_is_named(moved: Workspace, what: str) -> None:
    damage, title, reason = CHANGES[what]
    damage(moved.root)
    graph = champion_lineage(moved)
    changed = [node for node in graph.changed if node.title.startswith(title) and reason in node.reason]
    assert changed, unverified(graph)
    assert {node.title for node in graph.changed} <= {
        changed[0].title,
        "run of stage 3 (detail guidance), tiny",
    }


def test_what_is_gone_is_named_and_the_rest_is_still_known(moved: Workspace) -> None:
    runs = moved.root
    shutil.rmtree(runs / "two")
    shutil.rmtree(runs / "second")
    shutil.rmtree(runs / "first-latents")
    shutil.rmtree(runs / "final" / "bundle")
    shutil.rmtree(runs / "evaluations")
    make_bundle(runs / "final" / "bundle", seed=99)
    graph = champion_lineage(moved)
    assert graph.changed == []
    gone = unverified(graph)
    assert gone["bundle"][0] == "missing"
    assert "contains bundle" in graph.node(f"bundle:{graph.bundle_id}").reason
    assert len(graph.of_kind("gate")) == len(graph.of_kind("export")) == 1
    assert [node.where for node in graph.sources(f"bundle:{graph.bundle_id}")] == [str(runs / "final")]
    report = graph.sources(graph.of_kind("gate")[0].key)[0]
    assert (report.state, report.where and Path(report.where).parent.name) == ("verified", "promotions")


def test_parts_of_a_run_that_is_gone_follow_from_its_bundle(moved: Workspace) -> None:
    shutil.copytree(moved.root / "final" / "bundle", moved.root / "kept")
    for name in ("final", "second"):
        shutil.rmtree(moved.root / name)
    graph = collect_lineage(open_bundle(moved.root / "kept"), moved)
    run = graph.sources(f"bundle:{graph.bundle_id}")[0]
    assert (run.state, run.fact("steps")) == ("missing", str(resolve(3, "tiny").train.steps))
    assert [node.state for node in graph.of_kind("mixture")] == ["verified"]
    second = next(node for node in graph.of_kind("dataset") if node.state != "verified")
    assert (second.state, second.fact("clips")) == ("missing", None)
    assert graph.of_kind("checkpoint")[0].state == "verified"


def test_a_dataset_that_a_takedown_replaced_is_missing_and_not_changed(
    moved: Workspace,
) -> None:
    folder = Folder(moved.root / "second")
    record = read_dataset_record(folder)
    before = record["digest"]
    shards = [{**record["shards"][0], "sha256": "0" * 64}]
    # The first takedown was of a row without clips, which does not change the digest.
    history = [
        {"date": f"2026-11-{day}T00:00:00+00:00", "reason": "asked", "digest": before, "samples": clips}
        | {"rows": 1, "shards": [], "source_ids": []}
        for day, clips in ((25, 0), (26, 1))
    ]
    write_dataset_record(folder, record["config"], record["counts"], shards, record["files"], history)
    found = unverified(champion_lineage(moved))["dataset second"]
    assert found[0] == "missing" and found[1].startswith("1 clip was taken down from it on 2026-11-26:")


def test_stores_that_do_not_answer_or_refuse_are_unreachable_within_the_limit(moved: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        entry = registry.known_bundle(moved.ledger, "champion")
        path = moved.ledger.path_of(entry)
        servers = (f"http://127.0.0.1:{port}/a/champion.json", "http://127.0.0.1:1/champion.json")
        for url in (*servers, "unheard-of://bucket/champion.json"):
            draft = Draft("exported", entry.bundle_id, path, 3, "tiny", location=url, digest="e" * 64)
            moved.ledger.update(lambda _, draft=draft: draft)
        graph = champion_lineage(moved)
    states = [(node.state, node.reason) for node in graph.of_kind("export")]
    assert [state for state, _ in states] == ["missing", "unreachable", "unreachable", "unreachable"]
    assert states[1][1] == "no answer within 0.2 s"


def test_what_was_changed_in_an_export_is_named(moved: Workspace) -> None:
    made = [entry for entry in moved.ledger.entries() if entry.kind == "exported"][-1]
    where = moved.root / "served" / "0"
    path, location = moved.ledger.path_of(made), str(where / "champion.json")
    draft = Draft("exported", made.bundle_id, path, 3, "tiny", location=location, digest=made.digest)
    moved.ledger.update(lambda _: draft)

    def found(*, deep: bool) -> tuple[str, str]:
        node = champion_lineage(moved, deep=deep).of_kind("export")[-1]
        return node.state, node.reason

    assert found(deep=True) == ("verified", "all of its bytes were read")
    flip(only("exports/*/bundle/model.safetensors", where))
    assert found(deep=False)[0] == "verified"
    assert found(deep=True) == ("changed", "bundle/model.safetensors: does not match its recorded sha256")
    only("exports/*/bundle/model.safetensors", where).unlink()
    assert found(deep=False) == ("changed", "bundle/model.safetensors: missing")
    edit(only("exports/*/export.json", where), '"licence": "', '"licence": "X')
    state, reason = found(deep=False)
    assert state == "changed" and reason.endswith("is not the one that the ledger recorded")


def test_the_study_that_a_promotion_was_decided_with_is_verified(moved: Workspace) -> None:
    made = registry.known_bundle(moved.ledger, "champion")
    assert made.gate is not None
    study = digest_of({"raters": 2})
    draft = Draft(
        "promoted",
        made.bundle_id,
        moved.ledger.path_of(made),
        3,
        "tiny",
        gate=made.gate.model_copy(update={"study": study}),
    )
    moved.ledger.update(lambda _: draft)
    file = moved.root / "promotions" / f"study-{study}.json"
    for content, state in (
        (None, "missing"),
        ('{"raters": 2}', "verified"),
        ('{"raters": 3}', "changed"),
    ):
        if content is not None:
            file.write_text(content)
        assert champion_lineage(moved).of_kind("gate")[-1].state == state


def test_a_ledger_of_an_earlier_version_says_what_it_recorded(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "registry" / "ledgers"
    (tmp_path / "ledger.jsonl").write_bytes(sorted(source.glob("*.jsonl"))[0].read_bytes())
    workspace = Workspace(tmp_path)
    promoted = next(entry for entry in workspace.ledger.entries() if entry.kind == "promoted")
    graph = collect_lineage_of(promoted.bundle_id, workspace).graph
    assert graph.node(f"bundle:{promoted.bundle_id}").state == "missing"
    assert graph.of_kind("promotion")[0].title == "promoted to champion"


def test_a_lineage_contains_every_promotion_and_rollback_of_the_bundle(moved: Workspace) -> None:
    ledger = moved.ledger
    registry.rollback(ledger)
    withdrawn = registry.known_bundle(ledger, open_bundle(moved.root / "final/bundle").id)
    graph = collect_lineage_of(withdrawn.bundle_id, moved).graph
    assert [node.title for node in graph.of_kind("promotion")] == [
        "promoted to champion",
        "rollback of champion",
    ]
    assert graph.of_kind("alias") == []


def test_the_metrics_of_a_long_journal_are_not_read(whole: Workbench) -> None:
    journal = whole.runs["final"].folder.journal
    assert {entry.event for entry in read_journal(journal)} - {
        entry.event for entry in read_journal(journal, metrics=False)
    } == {"metrics"}
