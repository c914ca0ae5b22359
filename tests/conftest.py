"""Settings for every test: the same arithmetic on every machine, no telemetry, no network."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.support.paths import ROOT
from tests.support.quick import build_commands_once, skip_syncs

_DISTRIBUTED = "tests/distributed"

# The same examples in every run, however busy the machine is.
settings.register_profile("animatic", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("animatic")
# Before torch is imported: on a busy two-core machine, thread pools of small tensors wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("WANDB_MODE", "offline")


# A shell starts background processes with SIGINT ignored, nohup with SIGHUP; tests send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class FilesAndDistributed(LoadFileScheduling):
    """A file's tests go to one process of pytest-xdist, and all of tests/distributed to one: they share
    processes that keep several GB each."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _DISTRIBUTED if file.startswith(f"{_DISTRIBUTED}/") else file


def pytest_configure() -> None:
    """Before test modules import what is changed."""
    skip_syncs()
    build_commands_once()
    gc.disable()  # imports leave next to no garbage


def pytest_collection_finish() -> None:
    """Garbage is looked for among what tests create, not among all that they import."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndDistributed:
    return FilesAndDistributed(config, log)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes count as their parameter's name: an archive's contain the second at which they were made, and the
    processes of pytest-xdist must collect equal names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is left in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANIMATIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def nothing_beside_the_code() -> Iterator[None]:
    """Trackers write to the working folder if they are given no other: a test that lets them is named."""
    before = _of_trackers()
    yield
    left = _of_trackers() - before
    assert not left, f"this test, or one that ran beside it, left {', '.join(sorted(left))} in {ROOT}"


def _of_trackers() -> set[str]:
    return {name for name in ("mlflow.db", "mlruns", "wandb") if (ROOT / name).exists()}


@pytest.fixture(autouse=True)
def no_process_group() -> Iterator[None]:
    """A process that joins a group alone sets its variables for itself; later tests start programs."""
    yield
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
