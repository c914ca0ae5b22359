"""A replica's models without an engine: the test itself is both of its threads."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from core.files import atomic_file
from core.storage import Folder
from models.bundle import BundleOrigin, write_bundle
from orchestration.export import Location, Pointer
from orchestration.serving.exchange import Exchange
from orchestration.serving.jobs import JobStore, ModelStatus
from orchestration.serving.settings import ServingSettings
from orchestration.workspace import Workspace
from tests.support.exports import export_to
from tests.support.serving import STEPS, export_moving, moving_weights
from tests.support.small_stages import small_config

Weights = dict[str, torch.Tensor]


class Replica:
    """An exchange, looked at step by step."""

    def __init__(self, exchange: Exchange, store: JobStore, name: str) -> None:
        self.exchange, self.store, self.name = exchange, store, name

    def turn(self) -> None:
        """Look once, and do what the device thread does between two batches."""
        self.exchange.look()
        self.exchange.between_jobs()

    def follow_holds(self) -> None:
        """Do what the reporting thread does each second, and the device thread between two batches."""
        self.exchange._turn()
        self.exchange.between_jobs()

    def status(self, model: str = "champion") -> ModelStatus:
        """What it reports of a model."""
        self.exchange._report()
        reports = {report.replica: report for report in self.store.replicas()}
        return next(status for status in reports[self.name].models if status.name == model)

    def serves(self, model: str = "champion") -> str | None:
        """The manifest that is served under a name."""
        version = self.exchange.resolve(model)
        return None if version is None else version.manifest


def _nan(weights: Weights) -> None:
    next(iter(weights.values())).view(-1)[0] = float("nan")


def _overflowing(weights: Weights) -> None:
    for value in weights.values():
        value.mul_(1e30)


def _narrow(weights: Weights) -> None:
    name = next(name for name, value in weights.items() if value.ndim == 2)
    weights[name] = weights[name][:-1].contiguous()


def _incomplete(weights: Weights) -> None:
    weights.pop(next(iter(weights)))


# Bundles whose digests are all right, and whose weights are not.
CHANGES: dict[str, Callable[[Weights], None]] = {
    "nan": _nan, "overflowing": _overflowing, "narrow": _narrow, "incomplete": _incomplete,
}  # fmt: skip
GOOD = ("first", "second", "third")


class Published:
    """A location that versions are published at: copies of exports that were made once."""

    def __init__(self, folder: Path, templates: Path) -> None:
        self.folder, self._templates = folder, templates
        folder.mkdir(parents=True)

    def publish(self, version: str, name: str = "champion") -> str:
        """Publish a version under a name, as an export does: its folder first. The digest of its manifest."""
        pointer = self.copy(version)
        self.point(name, pointer.model_copy(update={"name": name}).encoded())
        return pointer.manifest

    def copy(self, version: str) -> Pointer:
        """Copy the folder of a version, unless it is there, and return the pointer that makes it visible."""
        pointer = Location(str(self._templates)).pointer(version)
        assert pointer is not None
        if not (self.folder / pointer.export).exists():
            shutil.copytree(self._templates / pointer.export, self.folder / pointer.export)
        return pointer

    def point(self, name: str, content: bytes) -> None:
        """Write a pointer."""
        with atomic_file(self.folder / f"{name}.json") as partial:
            partial.write_bytes(content)

    def pointer(self, name: str = "champion") -> Pointer:
        """The pointer of a name."""
        pointer = Location(str(self.folder)).pointer(name)
        assert pointer is not None
        return pointer

    def export(self, name: str = "champion") -> Folder:
        """The export that a name refers to."""
        return Folder(self.folder / self.pointer(name).export)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports named after :data:`GOOD` and :data:`CHANGES`."""
    folder = tmp_path_factory.mktemp("templates")
    for seed, name in enumerate(GOOD):
        export_moving(folder / "exports", folder, seed, name)
    config = small_config(3)
    origin = BundleOrigin(
        architecture=config.model, stage=3, preset="tiny", config_hash="c" * 64, dataset_digest="d" * 64,
        parent=None, sampling=config.validation.sampling.model_copy(update={"steps": STEPS}), extra={},
    )  # fmt: skip
    for name, change in CHANGES.items():
        weights = {key: value.clone() for key, value in moving_weights(7).items()}
        change(weights)
        write_bundle(folder / "runs" / name, weights, origin, model_card="# test\n")
        bundle = str(folder / "runs" / name)
        export_to(folder / "exports", Workspace(folder / "runs"), bundle, name=name)
    return folder / "exports"


@pytest.fixture
def published(templates: Path, tmp_path: Path) -> Published:
    return Published(tmp_path / "exports", templates)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    """Replicas of a service that serves ``tmp_path/exports``.

    ``engine``: further settings of the engine, ``source``: of the source.
    """
    stores = []

    def build(name: str = "r0", engine: dict[str, object] | None = None, **source: object) -> Replica:
        settings = ServingSettings.model_validate(
            {
                "source": {"location": str(tmp_path / "exports"), **source},
                "state": {"folder": str(tmp_path / "state")},
                "engine": {"smoke_steps": 2, **(engine or {})},
            }
        )
        store = JobStore(f"sqlite:///{tmp_path / 'state' / 'jobs.sqlite'}")
        stores.append(store)
        return Replica(Exchange(store, settings, name), store, name)

    yield build
    for store in stores:
        store.close()
