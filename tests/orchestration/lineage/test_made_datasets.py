"""A lineage goes on through datasets that were made of others, to the tables of these."""

import shutil
from pathlib import Path

from core.storage import Folder
from orchestration.lineage import collect_lineage
from pipelines.card import CardSettings, write_card
from pipelines.loader import WeightedDataset
from pipelines.reshape import Execution, ShardSize, merge, reshard
from tests.support.lineages import Workbench, ingested


def test_a_lineage_reaches_the_tables_behind_merged_and_resharded_datasets(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    one, two = ingested(root, "one"), ingested(root, "two")
    merged = merge(f"{root}/merged", [one.url, two.url], rename="of")
    made = reshard(merged.dataset, f"{root}/made", Execution(ShardSize(rows=3)))
    write_card(Folder(made.dataset), CardSettings(license="mit", source="our cameras"))
    bench = Workbench(root)
    run = bench.train("run", 0, [WeightedDataset.open(made.dataset).record()], [made.dataset])
    graph = collect_lineage(run.bundle, bench.workspace)
    titles = {node.digest: node for node in graph.nodes if node.kind == "dataset"}
    assert titles.keys() == {one.digest, two.digest, merged.digest, made.digest}
    assert {node.state for node in titles.values()} == {"verified"}
    labels = {(edge.source.partition(":")[0], edge.label) for edge in graph.edges}
    assert {("dataset", "merge"), ("dataset", "reshard"), ("source_table", "ingested")} <= labels
    assert len(graph.of_kind("source_table")) == 2
    facts = {fact.label: fact.text for fact in titles[made.digest].facts}
    assert facts["licence"] == "mit" and facts["source"] == "our cameras"
    shutil.rmtree(root / "two")
    states = {node.digest: node.state for node in collect_lineage(run.bundle, bench.workspace).nodes}
    assert (states[two.digest], states[one.digest]) == ("missing", "verified")
