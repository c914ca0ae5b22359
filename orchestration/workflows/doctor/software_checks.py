"""Whether every node runs what the driver runs."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.workflows.doctor.checks import (
    LIBRARIES,
    Check,
    Named,
    answering,
    by_node,
    on_nodes,
    values,
)
from pipelines.cluster.probe import ClusterFacts, Software

_INSTALL = "install requirements.lock on every node, or give all nodes one image"
_CODE = "submit jobs with --address http://HEAD:8265, which sends the code, or install this version there"
_NONE = "none"
_PYTHON = "start Ray there with the driver's Python"


def software_checks(cluster: ClusterFacts) -> list[Check]:
    """Python, the libraries and animatic's code: equal to the driver's on every node that answered."""
    nodes = answering(cluster)
    checks = [_equal("python", cluster.driver, nodes, lambda software: software.python, _PYTHON)]
    for library in LIBRARIES:
        checks.append(_equal(library, cluster.driver, nodes, _version_of(library), _INSTALL))
    checks.append(_equal("code", cluster.driver, nodes, _code, _CODE))
    return checks


def _equal(name: str, driver: Software, nodes: list[Named], of: Callable[[Software], str], fix: str) -> Check:
    own, found = of(driver), values(nodes, lambda node: of(node.facts.software))
    if own == _NONE and not found.keys() - {own}:
        return Check(name, False, f"not installed: {fix}")
    if not found.keys() - {own}:
        return Check(name, True, by_node(found) if found else own)
    others = {value: names for value, names in found.items() if value != own}
    text = by_node(found) if len(found) == 1 else on_nodes(others)
    return Check(name, False, f"{own} here, but {text}: {fix}")


def _version_of(library: str) -> Callable[[Software], str]:
    def version(software: Software) -> str:
        # 2.9.0+cu128 and 2.9.0+cpu are one version: heads have no GPU.
        found = software.libraries.get(library)
        return _NONE if found is None else found.partition("+")[0]

    return version


def _code(software: Software) -> str:
    return _NONE if software.code is None else software.code[:12]
