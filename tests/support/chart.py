"""The Helm chart `infra/helm/animatic`: its value sets, and what they render to."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.infra_tools import Tool
from tests.support.paths import ROOT

CHART = ROOT / "infra" / "helm" / "animatic"
VALUE_SETS = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "t", "ns"

Object = Mapping[str, Any]  # a Kubernetes object, as its API defines it


@dataclass(frozen=True)
class Pod:
    """A pod's template, and the path of objects that it is part of."""

    path: str
    template: Object

    @property
    def labels(self) -> Mapping[str, str]:
        return self.template["metadata"]["labels"]

    @property
    def spec(self) -> Object:
        return self.template["spec"]

    @property
    def containers(self) -> list[Object]:
        return self.spec["containers"]

    @property
    def environment(self) -> dict[str, str]:
        """Variables with a value, of the first container."""
        return {each["name"]: each.get("value") for each in self.containers[0].get("env", [])}


def render(helm: Tool, *arguments: object) -> str:
    """What `helm template` prints with these values."""
    return helm.accepts("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)


def refusal(helm: Tool, *arguments: object) -> str:
    """What `helm template` prints on standard error; it must fail."""
    result = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert result.returncode != 0, result.stdout
    return result.stderr


def objects(rendered: str) -> list[Object]:
    """The objects of a rendered chart."""
    return [each for each in yaml.safe_load_all(rendered) if each]


def of_kind(rendered: str, kind: str) -> list[Object]:
    return [each for each in objects(rendered) if each["kind"] == kind]


def clusters(rendered: str) -> Iterator[tuple[str, Object]]:
    """The specification of every Ray cluster, with the path of the object that it is part of."""
    for each in objects(rendered):
        path = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "RayCluster":
            yield path, each["spec"]
        if each["kind"] == "RayJob":
            yield path, each["spec"]["rayClusterSpec"]
        if each["kind"] == "RayService":
            yield path, each["spec"]["rayClusterConfig"]


def pods(rendered: str) -> Iterator[Pod]:
    """All pods, or their templates: of Ray, of the submitters of jobs, of servers, of `helm test`."""
    for path, cluster in clusters(rendered):
        yield Pod(f"{path}/head", cluster["headGroupSpec"]["template"])
        for group in cluster["workerGroupSpecs"]:
            yield Pod(f"{path}/{group['groupName']}", group["template"])
    for job in of_kind(rendered, "RayJob"):
        yield Pod(f"RayJob/{job['metadata']['name']}/submitter", job["spec"]["submitterPodTemplate"])
    for server in of_kind(rendered, "Deployment"):
        yield Pod(f"Deployment/{server['metadata']['name']}", server["spec"]["template"])
    for pod in of_kind(rendered, "Pod"):
        yield Pod(f"Pod/{pod['metadata']['name']}", pod)


def snapshot(rendered: str) -> str:
    """The objects in a stable form: in one order, without comments and the content of the chart's files."""
    found = copy.deepcopy(objects(rendered))
    for each in found:
        if each["kind"] == "ConfigMap" and "animatic/job" not in each["metadata"]["labels"]:
            each["data"] = dict.fromkeys(each["data"], "(a file of the chart)")
        if each["kind"] == "PrometheusRule":
            each["spec"] = "(a file of the chart)"
    found.sort(key=lambda each: (each["kind"], each["metadata"]["name"]))
    return yaml.safe_dump_all(found, width=110)


def snapshot_path(values: Path) -> Path:
    return ROOT / "tests" / "infra" / "snapshots" / f"{values.stem.removesuffix('-values')}.yaml"
