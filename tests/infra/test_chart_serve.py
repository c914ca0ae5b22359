"""The chart's service: what Ray deploys, how it is reached and watched, and which values are refused."""

import re
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from orchestration.serving.engine import ENVIRONMENT
from orchestration.serving.settings import ServingSettings
from tests.support.chart import VALUE_SETS, Object, Pod, of_kind, pods, refusal, render
from tests.support.infra_tools import Tool

(VALUES,) = [each for each in VALUE_SETS if each.stem == "serve-values"]
# The least that is accepted, which the cases below change.
BASE = """
image: {repository: r/animatic}
registry: s3://b/registry
workerGroups: {gpu: {gpus: 1}}
serve:
  enabled: true
  exports: s3://b/exports
  results: s3://b/results
  database: postgresql+psycopg://animatic@db/animatic
  apiKeys: {existingSecret: keys}
  groups: {gpu: {}}
"""
# Values over BASE, and what the message contains.
REFUSED = {
    "no exports": ("serve: {exports: ''}", "serve: exports is not set: the location that `animatic export`"),
    "no database": ("serve: {database: ''}", "serve: database is not set: replicas on several nodes share"),
    "sqlite": ("serve: {database: 'sqlite:////runs/jobs'}", "at '/serve/database'"),
    "no results": ("serve: {results: ''}", "serve: results is not set"),
    "no keys": (
        "serve: {apiKeys: {existingSecret: ''}}",
        "serve: apiKeys.existingSecret is not set, and the service would answer everyone",
    ),
    "password in the database's URL": (
        "serve: {database: 'postgresql://ana:pw@db/animatic'}",
        "serve.database: the URL contains a password",
    ),
    "password in the settings": (
        "serve: {config: {source: {ledger: 's3://ana:pw@bucket/ledger'}}}",
        "serve.config: the URL contains a password",
    ),
    "a setting twice": (
        "serve: {config: {state: {results: 's3://b/other'}}}",
        "serve.config: state.results is set by serve.results",
    ),
    "a setting of the chart": (
        "serve: {config: {http: {port: 80}}}",
        "serve.config: http.port is set by the chart",
    ),
    "exports on a disk": (
        "serve: {exports: /runs/exports}",
        "serve.exports: /runs/exports is a folder, which nodes share only below /runs/ with serve.mountRuns",
    ),
    "exports outside of the volume": (
        "serve: {exports: /data/exports, mountRuns: true}",
        "serve.exports: /data/exports is not below /runs/, which all nodes mount",
    ),
    "a ledger out of reach": ("registry: ''", "the ledger, which the service does not reach: set registry"),
    "no groups": ("serve: {groups: null}", "serve: groups is empty"),
    "unknown group": ("serve: {groups: {cpu: {}}}", "serve.groups.cpu: there is no such group"),
    "an incremental upgrade": (
        "serve: {upgradeStrategy: NewClusterWithIncrementalUpgrade}",
        "at '/serve/upgradeStrategy'",
    ),
    "more replicas than GPUs": (
        "serve: {config: {engine: {max_replicas: 2}}}",
        "serve.config: engine.max_replicas 2 needs 2 GPUs, and serve.groups has 1 at most",
    ),
    "clips that are killed": (
        "terminationGracePeriodSeconds: 140",
        "terminationGracePeriodSeconds 140 is too short for engine.stop_seconds 120",
    ),
    "no host": ("serve: {ingress: {enabled: true}}", "serve.ingress: host is not set"),
    "no such setting": ("serve: {replicas: 2}", "additional properties 'replicas' not allowed"),
    "a setting outside of a section": ("serve: {config: {queue: 5}}", "at '/serve/config/queue'"),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


@pytest.fixture(scope="module")
def rendered(helm: Tool) -> str:
    return render(helm, "-f", VALUES)


@pytest.fixture(scope="module")
def service(rendered: str) -> Object:
    (found,) = of_kind(rendered, "RayService")
    return found


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_a_service_that_cannot_work_is_refused_with_the_reason(
    helm: Tool, base: Path, tmp_path: Path, case: tuple[str, str]
) -> None:
    values, message = case
    (tmp_path / "case.yaml").write_text(values)
    assert message in refusal(helm, "-f", base, "-f", tmp_path / "case.yaml")


def test_what_the_cases_change_is_accepted_and_needs_neither_jobs_nor_their_volume(
    helm: Tool, base: Path
) -> None:
    rendered = render(helm, "-f", base)
    assert len(of_kind(rendered, "RayService")) == 1
    assert of_kind(rendered, "PersistentVolumeClaim") == []
    assert (
        of_kind(rendered, "RayJob") == of_kind(rendered, "RayCluster") == of_kind(rendered, "ConfigMap") == []
    )


def test_ray_serve_accepts_the_configuration(service: Object) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    (application,) = config.applications
    assert (application.route_prefix, application.runtime_env) == ("/", {})
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8000)
    assert config.http_options.request_timeout_s is None


def test_settings_of_the_values_reach_the_application(helm: Tool, base: Path) -> None:
    arguments = settings(render(helm, "-f", base, "--set", "serve.config.engine.batch=2"))
    assert arguments == {
        "engine": {"batch": 2, "gpus": 1},
        "source": {"location": "s3://b/exports"},
        "state": {
            "database": "postgresql+psycopg://animatic@db/animatic",
            "folder": "/tmp/serving",
            "results": "s3://b/results",
        },
        "http": {"host": "0.0.0.0", "port": 8000, "keys": "/etc/animatic/api-keys/keys", "replicas": 2},
    }


def test_replicas_run_on_workers_with_the_gpus_that_the_groups_have(helm: Tool, base: Path) -> None:
    """The head has no processors for Ray; an actor that needs none could run there."""

    def needs(*values: str) -> list[Object]:
        (service,) = of_kind(render(helm, "-f", base, *values), "RayService")
        (application,) = ServeDeploySchema.model_validate(
            yaml.safe_load(service["spec"]["serveConfigV2"])
        ).applications
        return [each.ray_actor_options.model_dump(exclude_unset=True) for each in application.deployments]

    api = {"num_cpus": 1}
    assert needs() == [api, {"num_cpus": 1, "num_gpus": 1}]
    assert needs("--set", "serve.config.engine.gpus=0.5") == [api, {"num_cpus": 1, "num_gpus": 0.5}]
    assert needs("--set", "workerGroups.gpu.gpus=0") == [api, {"num_cpus": 1, "num_gpus": 0}]


def test_the_service_knows_every_setting_and_the_chart_s_defaults_are_its_own(rendered: str) -> None:
    defaults, chosen = ServingSettings(), ServingSettings.model_validate(settings(rendered))
    assert (chosen.engine.max_replicas, chosen.limits.queue) == (4, 200)
    assert (defaults.engine.max_replicas, defaults.engine.stop_seconds) == (1, 120)
    assert defaults.http.port == chosen.http.port == 8000


def settings(rendered: str) -> Object:
    (service,) = of_kind(rendered, "RayService")
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    return application["args"]


def test_secrets_are_read_by_name_alone(rendered: str) -> None:
    found = ray_pods(rendered)
    assert len(found) == 3
    for pod in found:
        (password,) = [each for each in pod.containers[0]["env"] if each["name"] == "PGPASSWORD"]
        assert password["valueFrom"] == {"secretKeyRef": {"name": "serve-database", "key": "password"}}
        mounts = {each["name"]: each for each in pod.containers[0]["volumeMounts"]}
        assert settings(rendered)["http"]["keys"] == f"{mounts['api-keys']['mountPath']}/keys"
        assert mounts["api-keys"]["readOnly"] is True


def ray_pods(rendered: str) -> list[Pod]:
    return [pod for pod in pods(rendered) if pod.path.startswith("RayService/")]


def test_pods_have_the_environment_that_replicas_need(rendered: str) -> None:
    for pod in ray_pods(rendered):
        assert ENVIRONMENT.items() <= pod.environment.items()


def test_every_pod_has_the_port_that_kuberay_probes_and_its_service_needs(rendered: str) -> None:
    for pod in ray_pods(rendered):
        ports = {each["name"]: each["containerPort"] for each in pod.containers[0]["ports"]}
        assert ports["serve"] == 8000
        # KubeRay adds its own probes where there are none.
        assert not {"readinessProbe", "livenessProbe"} & set(pod.containers[0])


def test_the_ingress_and_the_test_use_the_service_that_kuberay_makes(rendered: str, service: Object) -> None:
    made = service["spec"]["serveService"]["metadata"]["name"]
    (ingress,) = of_kind(rendered, "Ingress")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": made, "port": {"name": "serve"}}
    (test,) = of_kind(rendered, "Pod")
    assert test["spec"]["containers"][0]["command"][-1] == f"http://{made}:8000/readyz"
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_events_and_clips_that_are_waited_for_pass_the_ingress(rendered: str) -> None:
    (ingress,) = of_kind(rendered, "Ingress")
    annotations = ingress["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    assert annotations[f"{prefix}buffering"] == "off"
    assert int(annotations[f"{prefix}read-timeout"]) > ServingSettings().limits.sync_seconds
    (megabytes,) = re.findall(r"^(\d+)m$", annotations[f"{prefix}body-size"])
    assert int(megabytes) * 2**20 > ServingSettings().limits.body_bytes


def test_one_address_is_scraped_although_every_replica_has_all_figures(rendered: str) -> None:
    (monitor,) = [
        each for each in of_kind(rendered, "PodMonitor") if each["metadata"]["name"].endswith("-serve")
    ]
    selector = monitor["spec"]["selector"]["matchLabels"]
    selected = [pod for pod in pods(rendered) if selector.items() <= pod.labels.items()]
    assert [pod.path.rpartition("/")[2] for pod in selected] == ["head"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("serve", "/metrics")
    labels = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
    assert labels == {"job": "animatic-serving", "instance": "ns/t-animatic-serve"}


def test_network_policies_admit_clients_the_operator_prometheus_and_the_test(rendered: str) -> None:
    (policy,) = [
        each for each in of_kind(rendered, "NetworkPolicy") if each["metadata"]["name"].endswith("-serve")
    ]
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [8000]
    (test,) = of_kind(rendered, "Pod")
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= test["metadata"]["labels"].items()
    namespaces = [
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"][1:]
    ]
    assert namespaces == ["kuberay-operator", "monitoring", "ingress-nginx"]


def test_workers_may_move_one_at_a_time_and_the_head_may_not(rendered: str) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered, "PodDisruptionBudget")}
    assert budgets["t-animatic-serve-workers"]["minAvailable"] == 1  # of two
    assert budgets["t-animatic-heads"]["minAvailable"] == 1
    for pod in ray_pods(rendered):
        kept = pod.template["metadata"].get("annotations", {}).get("karpenter.sh/do-not-disrupt")
        assert kept == ("true" if pod.path.endswith("/head") else None)


def test_workers_spread_over_zones_and_machines_unless_one_domain_is_asked_for(
    helm: Tool, base: Path, rendered: str
) -> None:
    for pod in ray_pods(rendered)[1:]:
        keys = [each["topologyKey"] for each in pod.spec["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    _, worker = ray_pods(render(helm, "-f", base, "--set", "workerGroups.gpu.topologyKey=rack"))
    assert "topologySpreadConstraints" not in worker.spec


def test_a_single_worker_can_be_evicted(helm: Tool, base: Path) -> None:
    rendered = render(helm, "-f", base, "--set", "disruptionBudget.enabled=true")
    assert [each["metadata"]["name"] for each in of_kind(rendered, "PodDisruptionBudget")] == [
        "t-animatic-heads"
    ]


def test_the_service_and_jobs_of_a_release_keep_their_own_image_and_volume(helm: Tool, base: Path) -> None:
    other = "jobs.a.groups.gpu.replicas=1,jobs.a.steps[0][0]=doctor,serve.image.repository=r/serve"
    rendered = render(helm, "-f", base, "--set", other)
    for pod in pods(rendered):
        served = pod.path.startswith(("RayService/", "Pod/"))
        assert pod.containers[0]["image"].startswith("r/serve:" if served else "r/animatic:"), pod.path
        assert any(each["name"] == "runs" for each in pod.spec["volumes"]) is (
            not served and not pod.path.endswith("/submitter")
        )


def test_the_volume_of_runs_may_have_the_exports(helm: Tool, base: Path, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(
        "registry: ''\nserve: {mountRuns: true, exports: /runs/exports, results: /runs/results}"
    )
    rendered = render(helm, "-f", base, "-f", tmp_path / "case.yaml")
    assert len(of_kind(rendered, "PersistentVolumeClaim")) == 1
    for pod in ray_pods(rendered):
        mounts = {each["name"]: each["mountPath"] for each in pod.containers[0]["volumeMounts"]}
        assert mounts["runs"] == pod.environment["ANIMATIC_RUNS"] == "/runs"
