"""Collecting the lineage of a bundle: bundles and the runs that wrote them, then data, then decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle, BundleInfo
from orchestration.lineage.ancestors import Ancestor, FoundBundle, as_ancestor, trace_bundles
from orchestration.lineage.building import GraphBuilder
from orchestration.lineage.content import content_of
from orchestration.lineage.data import DataCollector
from orchestration.lineage.decisions import DecisionCollector
from orchestration.lineage.looking import LIMIT_S, Looker
from orchestration.lineage.origin_nodes import bundle_node, continued_node, published_node, run_node
from orchestration.lineage.records import LineageGraph
from orchestration.lineage.run_index import RunIndex
from orchestration.lineage.runs import RecordedRun, RunInputs
from orchestration.lineage.used_data import used_data
from orchestration.workspace import Workspace
from training.run_folder import RunFolder


def collect_lineage(
    bundle: Bundle, workspace: Workspace, *, deep: bool = False, limit_s: float = LIMIT_S
) -> LineageGraph:
    """What a bundle comes from and what became of it, every digest checked again where it can be reached.

    Args:
        bundle: opened; its files need not have been verified.
        deep: read all bytes of datasets, latents and checkpoints; otherwise records and sizes. Bundles are
            always read.
        limit_s: seconds for each look at a URL.

    Raises:
        AnimaticError: the ledger is damaged.
    """
    return collect_lineage_of(bundle.id, workspace, [bundle.folder], deep=deep, limit_s=limit_s).graph


def collect_lineage_of(
    bundle_id: str,
    workspace: Workspace,
    folders: Sequence[Path] = (),
    *,
    deep: bool = False,
    limit_s: float = LIMIT_S,
) -> Lineage:
    """The same for a bundle of which no more than the id need be left.

    Args:
        folders: to look for it in before those of the ledger and the workspace.
    """
    return _Collector(workspace, deep, limit_s).collect(bundle_id, folders)


@dataclass(frozen=True)
class Lineage:
    """The lineage of a bundle, and its bundles alone, nearest first."""

    graph: LineageGraph
    chain: Sequence[Ancestor]


class _Collector:
    """One collection."""

    def __init__(self, workspace: Workspace, deep: bool, limit_s: float) -> None:
        self._workspace, self._deep = workspace, deep
        self._builder, content = GraphBuilder(), content_of(workspace.root)
        self._content = content
        self._runs = RunIndex(content.runs)
        looker = self._looker = Looker(limit_s)
        self._data = DataCollector(self._builder, looker, content, deep=deep)
        self._decisions = DecisionCollector(self._builder, looker, content, workspace.ledger, deep=deep)

    def collect(self, bundle_id: str, folders: Sequence[Path]) -> Lineage:
        """The lineage of one bundle."""
        chain, ledger = self._add_bundles(bundle_id, folders), self._workspace.ledger
        return Lineage(self._builder.graph(bundle_id), [as_ancestor(found, ledger) for found in chain])

    def _add_bundles(self, bundle_id: str, folders: Sequence[Path] = ()) -> list[FoundBundle]:
        """A bundle and all that it descends from, nearest first."""
        own = [*self._content.bundles, *(RunFolder(run).bundle for run in self._content.runs)]
        chain = trace_bundles(self._workspace.ledger, bundle_id, [*folders, *own])
        added = [found for found in chain if f"bundle:{found.id}" not in self._builder]
        for found in added:
            self._builder.add(bundle_node(found))
        for found in added:
            self._add_origin(found)
            self._decisions.add(found.id)
        return chain

    def _add_origin(self, found: FoundBundle) -> None:
        """The run, bundles or file that a bundle is the product of; the run is known by its journal, too."""
        key, info = f"bundle:{found.id}", found.info
        if found.computed_from:
            for source, how in found.computed_from.items():
                self._builder.link(f"bundle:{source}", key, how)
        elif info is None or info.config_hash:
            run = self._runs.of_bundle(found.id, found.folder)
            inputs = RunInputs.of_bundle(info) if info else run.inputs if run else None
            if inputs is not None:
                self._builder.link(self._add_run(inputs, run, info), key, "wrote")
        elif "source" in info.extra:
            self._builder.link(self._builder.add(published_node(info.extra["source"])), key, "imported")

    def _add_run(self, inputs: RunInputs, run: RecordedRun | None, info: BundleInfo | None) -> str:
        """A run and what it began with; ``info``: of its bundle, if that is known."""
        if inputs.key in self._builder:
            return inputs.key
        self._builder.add(run_node(inputs, run, info, deep=self._deep))
        for source in inputs.sources:
            self._add_bundles(source)
            self._builder.link(f"bundle:{source}", inputs.key, "started from")
        if inputs.continued is not None:
            self._builder.link(self._add_checkpoint(inputs.continued, run, info), inputs.key, "continued")
        if inputs.data is not None:
            self._data.add(inputs.key, inputs.data, used_data(inputs.data, run, info, self._looker))
        return inputs.key

    def _add_checkpoint(self, digest: str, run: RecordedRun | None, info: BundleInfo | None) -> str:
        """The checkpoint of another run that ``run`` continued, and that run."""
        config = run.config if run else None
        path = None if config is None or isinstance(config, str) else config.init.checkpoint
        writer = self._runs.of_checkpoint(digest, path)
        key = self._builder.add(continued_node(digest, writer, path, info, deep=self._deep))
        if writer is not None and writer.inputs is not None:
            self._builder.link(self._add_run(writer.inputs, writer, None), key, "saved")
        return key
