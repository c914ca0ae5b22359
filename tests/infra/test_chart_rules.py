"""What a platform team asks of every object of the chart, and what KubeRay's operator would refuse."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.chart import (
    VALUE_SETS,
    Object,
    Pod,
    clusters,
    objects,
    of_kind,
    pods,
    refusal,
    render,
)
from tests.support.infra_tools import Tool

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # DNS-1035
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
# KubeRay appends to the names of RayJobs and RayClusters; pods have the cluster's and the group's name.
LONGEST = {"RayJob": 47, "RayCluster": 47, "RayService": 47}
SECRET_WORDS = re.compile(r"password|passwd|token|secret|credential|access_?key", re.IGNORECASE)


@pytest.fixture(params=VALUE_SETS, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def rendered(helm: Tool, values: Path) -> str:
    return render(helm, "-f", values)


def ray_pods(rendered: str) -> list[Pod]:
    return [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"].startswith("ray-")]


def is_of_the_service(pod: Pod) -> bool:
    return pod.path.startswith("RayService/")


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; In is the one operator that the chart uses."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    expressions = selector.get("matchExpressions", [])
    assert {each["operator"] for each in expressions} <= {"In"}
    return equal and all(labels.get(each["key"]) in each["values"] for each in expressions)


def test_names_and_labels_are_within_the_limits(rendered: str) -> None:
    found = objects(rendered)
    assert len({(each["kind"], each["metadata"]["name"]) for each in found}) == len(found)
    for each in found:
        name = each["metadata"]["name"]
        assert NAME.fullmatch(name)
        assert len(name) <= LONGEST.get(each["kind"], 63)
        assert all(LABEL.fullmatch(value) for value in each["metadata"]["labels"].values())


def test_a_job_s_longest_name_is_within_the_limit_and_a_longer_one_is_refused(helm: Tool) -> None:
    arguments = ["--set", "image.repository=r/a,workerGroups.cpu.replicas=1"]
    job = {"groups.cpu.replicas": 1, "steps[0][0]": "doctor"}

    def named(length: int) -> str:
        """Values with a job of a name so long that its RayJob's is ``length`` characters."""
        name = "j" * (length - len(f"{'n' * 20}--12345678"))
        settings = ",".join(f"jobs.{name}.{key}={value}" for key, value in job.items())
        return f"fullnameOverride={'n' * 20},{settings}"

    (rayjob,) = of_kind(render(helm, *arguments, "--set", named(47)), "RayJob")
    assert len(rayjob["metadata"]["name"]) == 47
    message = "has 48 characters, KubeRay admits 47"
    assert message in refusal(helm, *arguments, "--set", named(48))


def test_images_are_pinned(rendered: str) -> None:
    for pod in pods(rendered):
        for container in pod.containers:
            assert re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", container["image"]), pod.path
            assert not container["image"].endswith(":latest")


def test_requests_are_limits(rendered: str) -> None:
    for pod in pods(rendered):
        for container in pod.containers:
            resources = container["resources"]
            assert resources["requests"] == resources["limits"], pod.path
            assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["limits"])


def test_pods_are_not_root_read_only_and_without_privileges(rendered: str) -> None:
    for pod in pods(rendered):
        assert pod.spec["securityContext"]["runAsNonRoot"] is True, pod.path
        assert pod.spec["securityContext"]["runAsUser"] > 0
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec)
        assert pod.spec["enableServiceLinks"] is False
        for container in pod.containers:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, pod.path
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"]["drop"] == ["ALL"]
            assert set(security["capabilities"].get("add", [])) <= {"IPC_LOCK"}
            writable = [each["mountPath"] for each in container["volumeMounts"]]
            assert "/tmp" in writable


def test_every_volume_that_is_mounted_exists_and_scratch_is_bounded(rendered: str) -> None:
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(rendered, "ConfigMap")}
    for pod in pods(rendered):
        volumes = {each["name"]: each for each in pod.spec["volumes"]}
        mounted = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
        assert mounted == set(volumes), pod.path
        # Those that Pod Security's profile "restricted" admits, too.
        kinds = {kind for each in volumes.values() for kind in each if kind != "name"}
        assert kinds <= {"emptyDir", "configMap", "projected", "persistentVolumeClaim"}
        assert all("sizeLimit" in each["emptyDir"] for each in volumes.values() if "emptyDir" in each)
        for volume in volumes.values():
            for source in volume.get("projected", {}).get("sources", []):
                assert "secret" in source or source["configMap"]["name"] in maps


def test_only_the_head_of_an_autoscaled_cluster_mounts_a_token_of_the_api_server(rendered: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in of_kind(rendered, "ServiceAccount")}
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    autoscaled = {path for path, cluster in clusters(rendered) if cluster.get("enableInTreeAutoscaling")}
    for pod in pods(rendered):
        assert pod.spec["automountServiceAccountToken"] is (pod.path.removesuffix("/head") in autoscaled)
        assert pod.spec["serviceAccountName"] in accounts


def test_no_value_is_a_secret(rendered: str) -> None:
    assert of_kind(rendered, "Secret") == []
    for pod in pods(rendered):
        for container in pod.containers:
            for variable in container.get("env", []):
                assert "valueFrom" in variable or not SECRET_WORDS.search(variable["name"]), pod.path


def test_selectors_match_pods(rendered: str) -> None:
    labels = [pod.labels for pod in pods(rendered)]
    found = objects(rendered)
    for each in found:
        spec = each.get("spec", {})
        if each["kind"] in ("PodMonitor", "Deployment", "PodDisruptionBudget"):
            assert any(selects(spec["selector"], one) for one in labels), each["kind"]
        if each["kind"] == "NetworkPolicy":
            assert any(selects(spec["podSelector"], one) for one in labels)
        if each["kind"] == "Service":
            assert any(selects({"matchLabels": spec["selector"]}, one) for one in labels)


def test_servers_have_probes_and_their_service_a_port(rendered: str) -> None:
    ports = {
        port["name"]
        for pod in pods(rendered)
        for container in pod.containers
        for port in container.get("ports", [])
    }
    for server in of_kind(rendered, "Deployment"):
        (container,) = server["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
    for service in of_kind(rendered, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for monitor in of_kind(rendered, "PodMonitor"):
        assert {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]} <= ports


def test_heads_run_no_work_and_workers_have_memory_for_objects(rendered: str) -> None:
    for _, cluster in clusters(rendered):
        head = cluster["headGroupSpec"]
        assert head["rayStartParams"]["num-cpus"] == "0"
        limits = head["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert not any(name.endswith("gpu") for name in limits)
        for group in (head, *cluster["workerGroupSpecs"]):
            (shared,) = [
                each["emptyDir"]
                for each in group["template"]["spec"]["volumes"]
                if each["name"] == "shared-mem"
            ]
            assert shared["medium"] == "Memory"
            assert int(group["rayStartParams"]["object-store-memory"]) <= _bytes(shared["sizeLimit"])


def test_pods_end_before_they_are_killed(rendered: str) -> None:
    for pod in ray_pods(rendered):
        grace = pod.spec["terminationGracePeriodSeconds"]
        drain = float(pod.environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        if pod.path.endswith("/head") and is_of_the_service(pod):
            assert "lifecycle" not in pod.containers[0]  # it runs nothing that would have to end
            continue
        if pod.path.endswith("/head"):
            hook = pod.containers[0]["lifecycle"]["preStop"]["exec"]["command"]
            assert hook[-1] == pod.environment["RAY_JOB_STOP_WAIT_TIME_S"]
            drain += float(hook[-1])
        assert grace / 2 < drain < grace


def test_ray_pods_share_the_runs_folder_and_the_token(rendered: str) -> None:
    for pod in ray_pods(rendered):
        if is_of_the_service(pod) and pod.environment["ANIMATIC_RUNS"] == "/tmp/runs":
            continue
        (runs,) = [each for each in pod.containers[0]["volumeMounts"] if each["name"] == "runs"]
        assert runs["mountPath"] == pod.environment["ANIMATIC_RUNS"]
    for _, cluster in clusters(rendered):
        assert cluster["authOptions"]["mode"] == "token"
        assert re.fullmatch(r"\d+\.\d+\.\d+", cluster["rayVersion"])


def test_kuberay_s_operator_refuses_no_cluster(rendered: str) -> None:
    for path, cluster in clusters(rendered):
        for group in cluster["workerGroupSpecs"]:
            assert NAME.fullmatch(group["groupName"])
            assert not {"labels", "redis-password", "resources"} & set(group["rayStartParams"])
            if cluster.get("enableInTreeAutoscaling"):
                assert "replicas" not in group  # the autoscaler's
                assert group["minReplicas"] <= group["maxReplicas"], path
            else:
                assert group["minReplicas"] == group["replicas"] == group["maxReplicas"], path
        if cluster.get("enableInTreeAutoscaling"):
            assert cluster["autoscalerOptions"]["version"] == "v2"
            templates = [
                each["template"] for each in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
            ]
            assert all("restartPolicy" not in template["spec"] for template in templates)
            names = {each["name"] for each in templates[0]["spec"]["containers"][0]["env"]}
            assert "RAY_enable_autoscaler_v2" not in names
        redis = cluster.get("gcsFaultToleranceOptions", {})
        assert "valueFrom" in redis.get("redisPassword", {"valueFrom": None})


def test_kuberay_s_operator_refuses_no_job(rendered: str) -> None:
    for job in of_kind(rendered, "RayJob"):
        spec = job["spec"]
        shutdown = spec.get("shutdownAfterJobFinishes", False)
        assert shutdown != bool(spec.get("deletionStrategy"))
        assert shutdown or not spec.get("ttlSecondsAfterFinished")
        assert shutdown or not spec.get("suspend")
        assert "clusterSelector" not in spec
        if "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]:
            assert shutdown
            assert "suspend" not in spec
        # It is put into a shell's command line, unquoted.
        assert re.fullmatch(r"[a-z/._ ]+", spec["entrypoint"])


def test_network_policies_let_the_operator_reach_the_job_server(helm: Tool) -> None:
    (values,) = [each for each in VALUE_SETS if each.stem == "monitored-values"]
    rendered = render(helm, "-f", values)
    (policy,) = [
        each for each in of_kind(rendered, "NetworkPolicy") if each["metadata"]["name"].endswith("-ray")
    ]
    rules = policy["spec"]["ingress"]
    nodes, operator, prometheus = rules
    submitters = [pod for pod in pods(rendered) if pod.path.endswith("/submitter")]
    assert "ports" not in nodes
    assert all(selects(nodes["from"][0]["podSelector"], pod.labels) for pod in ray_pods(rendered))
    assert all(selects(operator["from"][0]["podSelector"], pod.labels) for pod in submitters)
    assert operator["from"][1]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "kuberay-operator"
    }
    assert [port["port"] for port in operator["ports"]] == [8265]
    (head,) = [pod for pod in ray_pods(rendered) if pod.path.endswith("/head")]
    ports = {port["containerPort"] for port in head.containers[0]["ports"] if "metrics" in port["name"]}
    assert {port["port"] for port in prometheus["ports"]} == ports


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|Ti)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** (2 + ("Mi", "Gi", "Ti").index(unit))
