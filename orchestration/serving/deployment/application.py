"""The application of Ray Serve: what KubeRay and ``animatic serve`` deploy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from core.config.validation import configure
from core.errors import AnimaticError
from orchestration.serving.deployment.replicas import ApiReplica, EngineReplica, check_shared
from orchestration.serving.deployment.scaling import scale_by_queue
from orchestration.serving.deployment.stores import with_own_paths
from orchestration.serving.engine import ENVIRONMENT
from orchestration.serving.settings import EngineSettings, ServingSettings

APPLICATION = "animatic"
# The engine's own, where it can be stopped before the API is.
ENGINE_APPLICATION = "animatic-engine"
# Requests of one API process at a time; each follower of a video's events is one.
_REQUESTS = 1000
# Followers of events are cut off after this time when the service stops: their requests would never end.
_API_STOP_S = 5.0
# Beyond the time for videos: to release them, to stop threads.
_ENGINE_STOP_S = 20.0
# A replica that was killed is noticed within this time.
_HEALTH_S = 2.0
# Between two readings of the length of the queue.
_QUEUE_S = 5.0


def build(args: Mapping[str, Any]) -> serve.Application:
    """The application for Ray Serve's configuration files.

    Args:
        args: settings of the service by section, or ``{"file": PATH}`` of a YAML file with them.

    Raises:
        AnimaticError: unknown or invalid settings, or a cluster that does not share the stores.
    """
    file, sections = args.get("file"), {key: value for key, value in args.items() if key != "file"}
    if file is not None and (sections or not isinstance(file, str)):
        raise AnimaticError("the arguments are the settings by section, or one file alone: {'file': PATH}")
    files = [Path(file)] if file is not None else []
    return application(with_own_paths(configure(ServingSettings, files=files, values=sections)))


def application(settings: ServingSettings) -> serve.Application:
    """The application of settings whose paths are absolute. Ray is connected.

    Raises AnimaticError where the nodes of the cluster do not share the stores.
    """
    check_shared(settings)
    return _api(settings).bind(settings, _engine(settings).bind(settings))


def applications(settings: ServingSettings) -> list[serve.RunTarget]:
    """The same as two applications: while that of the engine ends, that of the API answers still.

    Raises AnimaticError where the nodes of the cluster do not share the stores.
    """
    check_shared(settings)
    return [
        serve.RunTarget(_api(settings).bind(settings), name=APPLICATION, route_prefix="/"),
        serve.RunTarget(_engine(settings).bind(settings), name=ENGINE_APPLICATION, route_prefix=None),
    ]


def _api(settings: ServingSettings) -> serve.Deployment:
    return serve.deployment(
        serve.ingress()(ApiReplica),
        name="Api",
        num_replicas=settings.http.replicas,
        max_ongoing_requests=_REQUESTS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=_HEALTH_S,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_API_STOP_S,
        logging_config={"enable_access_log": False},
    )


def _engine(settings: ServingSettings) -> serve.Deployment:
    own = settings.engine
    gpus = own.gpus if own.gpus is not None else float(ray.cluster_resources().get("GPU", 0) > 0)
    return serve.deployment(
        EngineReplica,
        name="Engine",
        ray_actor_options={"num_cpus": 0, "num_gpus": gpus, "runtime_env": {"env_vars": dict(ENVIRONMENT)}},
        autoscaling_config=_autoscaling(own),
        health_check_period_s=_HEALTH_S,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=own.stop_seconds + _ENGINE_STOP_S,
    )


def _autoscaling(engine: EngineSettings) -> AutoscalingConfig:
    return AutoscalingConfig(
        min_replicas=engine.min_replicas,
        max_replicas=engine.max_replicas,
        target_ongoing_requests=engine.queue_per_replica,
        metrics_interval_s=_QUEUE_S,
        look_back_period_s=2 * _QUEUE_S,
        upscale_delay_s=engine.scale_up_seconds,
        downscale_delay_s=engine.scale_down_seconds,
        policy=AutoscalingPolicy(policy_function=scale_by_queue),
    )
