"""What a bundle comes from and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.lineage import Ancestor, Lineage, LineageGraph, collect_lineage_of, tree_lines, write_page
from orchestration.registry import Ledger, by_alias, champion_bundle, known_bundle
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class LineageOptions:
    """``bundle``: a folder, an id or an alias; the champion (of ``preset``, if given) if None.

    ``deep``: read all bytes; ``page``: the HTML file to write.
    """

    bundle: str | None = None
    preset: str | None = None
    deep: bool = False
    page: Path | None = None


@dataclass(frozen=True)
class LineageResult:
    """The graph; ``chain``: its bundles, nearest first; ``lines``: the graph as a tree of text."""

    graph: LineageGraph
    chain: Sequence[Ancestor]
    lines: Sequence[str]
    page: Path | None = None

    @property
    def summary(self) -> str:
        """The number of nodes in each state."""
        states = [node.state.replace("_", " ") for node in self.graph.nodes]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states), key=_order))
        return f"{len(states)} parts: {counts}"

    def raise_for_changes(self) -> None:
        """Raise AnimaticError where something is not what its digest says."""
        changed = self.graph.changed
        if changed:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise AnimaticError(f"the lineage is damaged: {changed[0].title}: {changed[0].reason}{more}")


def lineage(options: LineageOptions, workspace: Workspace) -> LineageResult:
    """Collect the lineage of a bundle and check every digest again.

    Raises:
        AnimaticError: no such bundle, or a damaged ledger. What is damaged in the lineage is in the result.
    """
    found = _collect(options, workspace)
    if options.page is not None:
        write_page(options.page, found.graph)
    return LineageResult(found.graph, found.chain, tree_lines(found.graph), options.page)


def _collect(options: LineageOptions, workspace: Workspace) -> Lineage:
    """Files of the bundle itself need neither be intact nor exist: the rest of its lineage can be known."""
    ledger, name, preset = workspace.ledger, options.bundle, options.preset
    if name is None:
        champion = ledger.champion(preset)
        if champion is None:
            champion_bundle(ledger, preset, named_by="`animatic lineage FOLDER`")
        assert champion is not None
        return collect_lineage_of(champion.bundle_id, workspace, deep=options.deep)
    if _is_folder(ledger, name, preset):
        bundle = open_bundle(name, verify=False)
        if preset not in (None, bundle.info.preset):
            raise AnimaticError(f"bundle {name} is of preset {bundle.info.preset}, not {preset}")
        return collect_lineage_of(bundle.id, workspace, [bundle.folder], deep=options.deep)
    return collect_lineage_of(known_bundle(ledger, name, preset).bundle_id, workspace, deep=options.deep)


def _is_folder(ledger: Ledger, name: str, preset: str | None) -> bool:
    return Path(name).is_dir() and by_alias(ledger, name, preset) is None


def _order(state: str) -> int:
    return ("verified", "changed", "missing", "unreachable", "not checked").index(state)
