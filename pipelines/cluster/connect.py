"""Ray, started quietly on this machine or joined where it already runs."""

import logging
import os

import ray
from ray.job_config import JobConfig

from core.code_version import CHECKOUT
from core.errors import AnimaticError
from core.signals import raise_on_signals
from pipelines.cluster.address import check_cluster, check_token
from pipelines.cluster.forking import forked_workers
from pipelines.cluster.temporary_folder import check_temporary_folder, logs_folder

OBJECT_STORE_BYTES = 256 << 20  # jobs pass paths and counts through it, never clips
_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


class _OwnCode(JobConfig):
    """Has workers import the code that this process runs.

    Ray itself has them look in the current folder first, where a package of the user may be called ``models``
    or ``training`` too.
    """

    def __init__(self, python: str | None = None) -> None:
        """``python``: the command that starts workers; that of this process if None."""
        # Installed packages are found by every Python; a checkout need not be installed.
        is_checkout = (CHECKOUT / "pyproject.toml").is_file()
        super().__init__(
            runtime_env={"py_executable": python} if python else None,
            _py_driver_sys_path=[str(CHECKOUT)] if is_checkout else [],
        )

    def _runtime_env_has_working_dir(self) -> bool:
        """By which Ray decides whether to add the current folder, and that of the script."""
        return True


def ensure_ray(address: str | None = None, num_cpus: int | None = None) -> None:
    """Connect this process to Ray; does nothing if it is connected already.

    ``address`` (or the variable RAY_ADDRESS) names a cluster: ``auto``, ``host:port`` or ``ray://…``. Without
    one, Ray starts on this machine with ``num_cpus`` (default: all) and ends with this process. SIGTERM and
    SIGHUP then raise SignalExit: Ray's own handler prints a stack dump and aborts.
    Raises AnimaticError if Ray does not start or the cluster does not answer.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    given, setting = address, "--address"
    if given in (None, "", "auto") and os.environ.get("RAY_ADDRESS"):
        given, setting = os.environ["RAY_ADDRESS"], "RAY_ADDRESS"
    address = given or "local"
    if address == "local":
        _start(num_cpus or os.cpu_count())
    else:
        _connect(address, setting)
    raise_on_signals()


def _start(cpus: int | None) -> None:
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
    # By default Ray's workers have the lowest priority: on a busy machine they would get no CPU.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Workers that Ray starts before it knows how a job's are started are of no use to the job.
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    check_temporary_folder()
    store = OBJECT_STORE_BYTES
    try:
        ray.init(
            "local",
            num_cpus=cpus,
            object_store_memory=store,
            include_dashboard=False,
            job_config=_OwnCode(forked_workers()),
            **_QUIET,
        )
    except Exception as error:  # Ray has no narrower type for a node that is not up within its 30 s
        ray.shutdown()
        raise AnimaticError(
            f"Ray did not start on this machine ({_reason(error)}): its logs in {logs_folder()} give the "
            "cause; on a busy machine, try again"
        ) from error


def _connect(address: str, setting: str) -> None:
    check_cluster(address, setting)
    check_token(address, setting)
    try:
        # The server of interactive clients would have to unpickle it.
        own_code = None if address.startswith("ray://") else _OwnCode()
        ray.init(address, job_config=own_code, **_QUIET)
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        raise AnimaticError(
            f"no connection to the Ray cluster at {address} ({setting}): {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
