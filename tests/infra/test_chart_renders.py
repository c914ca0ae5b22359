"""Every value set of the chart is accepted by helm and by Kubernetes, and renders to its snapshot.

A change of the chart on purpose: `python -m tests.infra.record_snapshots`, and read the difference.
"""

from pathlib import Path

import pytest
import yaml

from tests.support.chart import CHART, VALUE_SETS, Object, objects, pods, render, snapshot, snapshot_path
from tests.support.infra_tools import Tool

CUSTOM = {"ray.io", "monitoring.coreos.com"}
SUPPORTED = ("1.34", "1.37")

each_value_set = pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)


@each_value_set
def test_helm_lints_the_value_set(helm: Tool, values: Path) -> None:
    helm.accepts("lint", "--strict", CHART, "-f", values)


def test_helm_lints_and_renders_the_defaults(helm: Tool) -> None:
    helm.accepts("lint", "--strict", CHART)
    assert list(pods(render(helm))) == []


@each_value_set
def test_kubernetes_knows_every_field_of_its_own_kinds(
    helm: Tool, kubernetes_validate: Tool, values: Path, tmp_path: Path
) -> None:
    own = [
        each
        for each in objects(render(helm, "-f", values))
        if not CUSTOM & {each["apiVersion"].split("/")[0]}
    ]
    assert own
    _validate(kubernetes_validate, own, tmp_path)


@each_value_set
def test_kubernetes_knows_every_field_of_the_pods_within_custom_objects(
    helm: Tool, kubernetes_validate: Tool, values: Path, tmp_path: Path
) -> None:
    found = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", **pod.template["metadata"]},
            "spec": pod.spec,
        }
        for pod in pods(render(helm, "-f", values))
    ]
    _validate(kubernetes_validate, found, tmp_path)


@each_value_set
def test_the_value_set_renders_to_its_snapshot(helm: Tool, values: Path) -> None:
    assert snapshot(render(helm, "-f", values)) == snapshot_path(values).read_text()


def test_every_snapshot_has_a_value_set() -> None:
    paths = [snapshot_path(values) for values in VALUE_SETS]
    assert sorted(paths) == sorted(paths[0].parent.glob("*.yaml"))


def _validate(kubernetes_validate: Tool, found: list[Object], folder: Path) -> None:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(found))
    versions = [argument for version in SUPPORTED for argument in ("-k", version)]
    kubernetes_validate.accepts("--strict", *versions, path)
