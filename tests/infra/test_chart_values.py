"""The values of the chart: each is described, and those that cannot work are refused with the reason."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, VALUE_SETS, Object, objects, of_kind, pods, refusal, render
from tests.support.infra_tools import Tool

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
# A job that is accepted, which the cases below change.
BASE = """
image: {repository: registry.example.com/animatic}
workerGroups: {cpu: {replicas: 2}}
jobs:
  a:
    groups: {cpu: {}}
    steps: [[train, --stage, "1"]]
"""
RULE = "{policy: DeleteCluster, jobStatus: FAILED, ttlSeconds: 60}"
# Values over BASE, and what the message contains.
REFUSED = {
    # by the schema
    "unknown key": ("imagee: {}", "additional properties 'imagee' not allowed"),
    "unknown key of a job": ("jobs: {a: {stepz: []}}", "additional properties 'stepz' not allowed"),
    "unknown key of a group": ("workerGroups: {cpu: {gpu: 8}}", "additional properties 'gpu' not allowed"),
    "tag latest": ("image: {tag: latest}", "at '/image/tag'"),
    "tag in the repository's place": ('image: {digest: "sha256:1"}', "at '/image/digest'"),
    "unknown verb": ("jobs: {a: {steps: [[trian]]}}", "at '/jobs/a/steps/0/0'"),
    "empty step": ("jobs: {a: {steps: [[]]}}", "at '/jobs/a/steps/0'"),
    "a step as text": ("jobs: {a: {steps: [train --stage 1]}}", "at '/jobs/a/steps/0'"),
    "fraction in a step": ("jobs: {a: {steps: [[train, --lr, 0.1]]}}", "at '/jobs/a/steps/0/2'"),
    "memory without unit": ("head: {memory: 16}", "at '/head/memory'"),
    "memory in another unit": ("head: {memory: 16G}", "at '/head/memory'"),
    "half a CPU for Ray": ("workerGroups: {cpu: {cpu: 0.5}}", "at '/workerGroups/cpu/cpu'"),
    "negative replicas": ("workerGroups: {cpu: {replicas: -1}}", "replicas"),
    "resource that KubeRay does not find": ("workerDefaults: {gpuResource: nvidia.com/tesla}", "gpuResource"),
    "name in capitals": ("jobs: {Train: {}}", "Train"),
    "root": ("podSecurity: {runAsUser: 0}", "runAsUser"),
    "short grace": ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds"),
    "unknown authentication": ("auth: {mode: none}", "at '/auth/mode'"),
    "password in the address": (
        "gcsFaultTolerance: {redisAddress: 'redis://user:secret@host:6379'}",
        "redisAddress",
    ),
    "variable of another library as NCCL's": ("nccl: {OMP_NUM_THREADS: 1}", "OMP_NUM_THREADS"),
    "no outcome of a deletion rule": (
        "jobs: {a: {deletionRules: [{policy: DeleteSelf}]}}",
        "at '/jobs/a/deletionRules/0'",
    ),
    "runs over the environment": ("runs: {mountPath: /opt/animatic}", "at '/runs/mountPath'"),
    "runs over /tmp": ("runs: {mountPath: /tmp}", "at '/runs/mountPath'"),
    "a port of Ray": ("driverMetricsPort: 8265", "at '/driverMetricsPort'"),
    "no name of a queue": ("kueue: {queueName: My Queue}", "at '/kueue/queueName'"),
    "artefacts on a disk": ("mlflow: {artifacts: {destination: /mlruns}}", "destination"),
    # by the chart
    "volume of the chart": ("extraVolumes: [{name: runs, emptyDir: {}}]", "runs is a volume of the chart"),
    "files of the machine": (
        "extraVolumes: [{name: a, hostPath: {path: /}}]",
        "at '/extraVolumes/0': additional properties 'hostPath' not allowed",
    ),
    "volume without a kind": ("extraVolumes: [{name: a}]", "at '/extraVolumes/0'"),
    "two volumes of a name": (
        "extraVolumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]",
        "extraVolumes: two volumes have the name a",
    ),
    "mount without a volume": (
        "extraVolumes: [{name: a, emptyDir: {}}]\nextraVolumeMounts: [{name: b, mountPath: /b}]",
        "extraVolumeMounts: there is no volume b; declare it in extraVolumes, which has: scratch, ",
    ),
    "two mounts at a path": (
        "extraVolumeMounts: [{name: scratch, mountPath: /runs}]",
        "extraVolumeMounts: another volume is mounted at /runs",
    ),
    "password in a variable": (
        "env: {ANIMATIC_MLFLOW_URI: 'https://ana:pw@mlflow'}",
        "env: ANIMATIC_MLFLOW_URI: the URL contains a password",
    ),
    "registry that cannot contain a ledger": ("registry: 'https://host/ledger'", "registry"),
    "password in the registry": (
        "registry: 's3://ana:pw@bucket/registry'",
        "env: ANIMATIC_REGISTRY: the URL contains a password",
    ),
    "password in a variable of MLflow": (
        "mlflow: {enabled: true, backendStore: {existingSecret: db}, artifacts: {destination: s3://b/m}, "
        "env: {HTTPS_PROXY: 'http://ana:pw@proxy'}}",
        "mlflow.env: HTTPS_PROXY: the URL contains a password",
    ),
    "password with a / in a variable": (
        "env: {ANIMATIC_MLFLOW_URI: 'https://ana:p/w@mlflow'}",
        "env: ANIMATIC_MLFLOW_URI: the URL contains a password",
    ),
    "password in a step": (
        "jobs: {a: {steps: [[train, --data, 'https://ana:pw@host/data']]}}",
        "jobs.a.steps: the URL contains a password",
    ),
    "password in a configuration": (
        "jobs: {a: {config: {init: {base: 'https://ana:pw@host/base'}}}}",
        "jobs.a.config: the URL contains a password",
    ),
    "no image": (
        "image: {repository: ''}",
        "image.repository is not set: build infra/images/train.Dockerfile",
    ),
    "no steps": ("jobs: {a: {steps: []}}", "jobs.a: steps is empty"),
    "no groups": ("jobs: {b: {steps: [[doctor]]}}", "jobs.b: groups is empty"),
    "unknown group": ("jobs: {a: {groups: {gpu: {}}}}", "jobs.a.groups.gpu: there is no such group"),
    "rules and shutdown": (
        f"jobs: {{a: {{deletionRules: [{RULE}]}}}}",
        "deletionRules and shutdownAfterJobFinishes exclude each other",
    ),
    "ttl without shutdown": (
        "jobs: {a: {shutdownAfterJobFinishes: false}}",
        "ttlSecondsAfterFinished needs shutdownAfterJobFinishes",
    ),
    "suspend without shutdown": (
        "jobs: {a: {suspend: true, shutdownAfterJobFinishes: false, ttlSecondsAfterFinished: 0}}",
        "suspend needs shutdownAfterJobFinishes",
    ),
    "workers deleted under the autoscaler": (
        "jobs: {a: {autoscaling: true, shutdownAfterJobFinishes: false, ttlSecondsAfterFinished: 0, "
        "groups: {cpu: {maxReplicas: 2}}, "
        "deletionRules: [{policy: DeleteWorkers, jobStatus: FAILED, ttlSeconds: 0}]}}",
        "DeleteWorkers is refused with autoscaling",
    ),
    "two rules for one case": (
        "jobs: {a: {shutdownAfterJobFinishes: false, ttlSecondsAfterFinished: 0, deletionRules: "
        f"[{RULE}, {RULE}]}}}}",
        "two rules DeleteCluster for FAILED",
    ),
    "rules out of order": (
        "jobs: {a: {shutdownAfterJobFinishes: false, ttlSecondsAfterFinished: 0, deletionRules: "
        f"[{RULE}, {{policy: DeleteWorkers, jobStatus: FAILED, ttlSeconds: 61}}]}}}}",
        "ttlSeconds must not decrease",
    ),
    "more at least than at most": (
        "jobs: {a: {autoscaling: true, groups: {cpu: {minReplicas: 5, maxReplicas: 4}}}}",
        "minReplicas 5 is more than maxReplicas 4",
    ),
    "suspend under Kueue": ("kueue: {queueName: q}\njobs: {a: {suspend: true}}", "suspend is owned by Kueue"),
    "rules under Kueue": (
        "kueue: {queueName: q}\njobs: {a: {shutdownAfterJobFinishes: false, ttlSecondsAfterFinished: 0}}",
        "Kueue needs shutdownAfterJobFinishes, and so no deletionRules",
    ),
    "autoscaling under Kueue": (
        "kueue: {queueName: q}\njobs: {a: {autoscaling: true, groups: {cpu: {maxReplicas: 2}}}}",
        "only with kueue.elastic",
    ),
    "priority without a queue": ("kueue: {priorityClass: high}", "kueue.queueName is not set"),
    "spot without its machines": (
        "workerGroups: {cpu: {spot: true}}",
        "spot.nodeSelector does not say which",
    ),
    "GPUs twice": (
        "workerGroups: {cpu: {resources: {nvidia.com/gpu: 8}}}",
        "nvidia.com/gpu belongs into gpus, not into resources",
    ),
    "shared memory of all memory": (
        "workerGroups: {cpu: {memory: 8Gi}}",
        "sharedMemory 8Gi is part of memory 8Gi",
    ),
    "objects larger than shared memory": (
        "head: {objectStoreMemory: 5000Mi}",
        "objectStoreMemory 5000Mi does not fit into sharedMemory 4Gi",
    ),
    "old Ray": ("rayVersion: 2.51.0", "auth.mode token needs Ray 2.52 or newer"),
    "token without its mode": ("auth: {mode: disabled, existingSecret: token}", "auth.mode is not token"),
    "fault tolerance without Redis": ("gcsFaultTolerance: {enabled: true}", "redisAddress is not set"),
    "secret in the environment": ("env: {WANDB_API_KEY: abc}", "WANDB_API_KEY looks like a secret"),
    "secret in a group's environment": (
        "workerGroups: {cpu: {env: {AWS_SECRET_ACCESS_KEY: abc}}}",
        "AWS_SECRET_ACCESS_KEY looks like a secret",
    ),
    "variable of KubeRay": ("env: {RAY_ADDRESS: auto}", "RAY_ADDRESS is set by KubeRay"),
    "MLflow without a database": (
        "mlflow: {enabled: true, artifacts: {destination: 's3://b/m'}}",
        "mlflow.backendStore.existingSecret is not set",
    ),
    "MLflow without a store": (
        "mlflow: {enabled: true, backendStore: {existingSecret: s}}",
        "mlflow.artifacts.destination is not set",
    ),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_values_that_cannot_work_are_refused_with_the_reason(
    helm: Tool, base: Path, tmp_path: Path, case: tuple[str, str]
) -> None:
    values, message = case
    (tmp_path / "case.yaml").write_text(values)
    assert message in refusal(helm, "-f", base, "-f", tmp_path / "case.yaml")


def test_the_values_that_the_cases_change_are_accepted(helm: Tool, base: Path) -> None:
    assert len(of_kind(render(helm, "-f", base), "RayJob")) == 1


def test_every_value_is_described_and_has_a_default() -> None:
    for path, schema, default in _walk(SCHEMA, DEFAULTS, "values"):
        assert schema.get("description"), path
        if default is not None:
            assert set(schema["properties"]) - {"global"} == set(default), path


def test_groups_and_jobs_of_the_schema_are_those_of_the_defaults() -> None:
    definitions = SCHEMA["$defs"]
    assert set(definitions["group"]["properties"]) == set(DEFAULTS["workerDefaults"])
    assert set(definitions["job"]["properties"]) - {"steps"} == set(DEFAULTS["jobDefaults"])
    for name in ("group", "job"):
        assert definitions[name]["additionalProperties"] is False
        assert all(each.get("description") for each in definitions[name]["properties"].values())


def test_whole_numbers_stay_whole_however_large(helm: Tool, base: Path, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(
        "env: {LIMIT: 10000000}\njobs: {a: {activeDeadlineSeconds: 1209600, "
        "config: {train: {steps: 10000000}}, steps: [[train, --stage, 1, --gpus, 10000000]]}}"
    )
    rendered = render(helm, "-f", base, "-f", tmp_path / "case.yaml")
    assert "e+0" not in rendered
    (job,) = of_kind(rendered, "RayJob")
    assert job["spec"]["activeDeadlineSeconds"] == 1209600
    assert {pod.environment.get("LIMIT") for pod in pods(rendered)} == {"10000000", None}


def test_extra_volumes_are_mounted_in_every_ray_pod(helm: Tool, base: Path, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(
        "extraVolumes: [{name: ca, configMap: {name: ca}}]\nextraVolumeMounts: [{name: ca, mountPath: /ca}, "
        "{name: scratch, mountPath: /home/user/.cache, subPath: cache}]"
    )
    rendered = list(pods(render(helm, "-f", base, "-f", tmp_path / "case.yaml")))
    of_ray = [pod for pod in rendered if any(each["name"] == "shared-mem" for each in pod.spec["volumes"])]
    assert len(of_ray) == 2
    for pod in of_ray:
        assert {"name": "ca", "configMap": {"name": "ca"}} in pod.spec["volumes"]
        mounts = {each["mountPath"]: each["name"] for each in pod.containers[0]["volumeMounts"]}
        assert (mounts["/ca"], mounts["/home/user/.cache"]) == ("ca", "scratch")


def test_a_changed_job_is_another_job_and_other_changes_leave_it(helm: Tool, base: Path) -> None:
    def name(*arguments: str) -> str:
        (job,) = of_kind(render(helm, "-f", base, *arguments), "RayJob")
        return job["metadata"]["name"]

    assert name() == name("--set", "podMonitor.enabled=true,networkPolicy.enabled=true")
    changes = [
        "image.tag=b",
        "workerGroups.cpu.replicas=3",
        "jobs.a.config.seed=2",
        "jobs.a.steps[0][2]=--json",
    ]
    assert len({name(), *(name("--set", change) for change in changes)}) == 5


@pytest.mark.parametrize("setting", ["jobs.a.enabled=false", "jobDefaults.enabled=false", "jobs=null"])
def test_nothing_is_left_of_a_job_that_is_not_enabled(helm: Tool, base: Path, setting: str) -> None:
    assert objects(render(helm, "-f", base, "--set", setting)) == []
    other = "jobDefaults.enabled=false,jobs.a.enabled=true"
    assert len(of_kind(render(helm, "-f", base, "--set", other), "RayJob")) == 1


def test_a_job_overrides_its_defaults_and_its_groups(helm: Tool, base: Path) -> None:
    settings = "jobDefaults.backoffLimit=7,workerDefaults.cpu=3,workerGroups.cpu.memory=64Gi"
    (job,) = of_kind(
        render(helm, "-f", base, "--set", settings, "--set", "jobs.a.groups.cpu.replicas=5"), "RayJob"
    )
    assert job["spec"]["backoffLimit"] == 7
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (group["replicas"], limits["cpu"], limits["memory"]) == (5, "3", "64Gi")


def test_value_sets_together_use_every_group_of_values() -> None:
    used = {key for path in VALUE_SETS for key in yaml.safe_load(path.read_text())}
    rare = {"global", "rayVersion", "jobDefaults", "head", "workerDefaults", "terminationGracePeriodSeconds"}
    rare |= {"autoscaler", "extraVolumes", "extraVolumeMounts", "env", "podSecurity", "driverMetricsPort"}
    assert set(SCHEMA["properties"]) - used == rare


def _walk(schema: Object, default: Any, path: str) -> Iterator[tuple[str, Object, Mapping[str, Any] | None]]:
    """Every object of the schema with named properties and its default; then their properties."""
    if path != "values":
        yield path, schema, default if "properties" in schema else None
    for key, inner in schema.get("properties", {}).items():
        yield from _walk(inner, default.get(key) if isinstance(default, dict) else None, f"{path}.{key}")
