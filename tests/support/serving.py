"""The service in this process, without Ray: a job store, a results store, models and an engine."""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import models.animate
from core.repeating import Repeating
from models.animator import Animator
from models.bundle import BundleOrigin, write_bundle
from models.diffusion.sampler import Keep
from models.network.parameter_names import public_state
from orchestration.export import ExportedBundle, read_export
from orchestration.serving.api import build_app
from orchestration.serving.counters import PREFIX, Sample
from orchestration.serving.engine import Engine, EngineError, Models
from orchestration.serving.intake import read_submission
from orchestration.serving.jobs import (
    Clip,
    Job,
    JobSpec,
    JobStore,
    ModelStatus,
    ReplicaReport,
    ServedVersion,
    StoredPicture,
    StoreRules,
)
from orchestration.serving.results import Results
from orchestration.serving.settings import EngineSettings, LimitSettings, ServingSettings
from orchestration.workspace import Workspace
from tests.support.exports import export_to
from tests.support.serving_api import AnyKey, listening
from tests.support.small_stages import small_config
from tests.support.waiting import wait_until

# Of sampling, unless a job asks for others.
STEPS = 3
# On a busy machine a clip takes a minute.
_PATIENCE_S = 200.0
ENDED = ("completed", "failed", "cancelled", "expired")


@cache
def moving_weights(seed: int) -> dict[str, torch.Tensor]:
    """An untrained network ends in zeros and would make every clip of noise alone: all weights are drawn."""
    torch.manual_seed(seed)
    state = public_state(Animator(small_config(3).model).network)
    return {name: value + 0.03 * torch.randn_like(value) for name, value in state.items()}


def moving_bundle(folder: Path, seed: int = 0) -> Path:
    """A bundle of stage 3 whose clips depend on picture and prompt; another one for another seed."""
    config = small_config(3)
    write_bundle(
        folder,
        moving_weights(seed),
        BundleOrigin(
            architecture=config.model,
            stage=3,
            preset="tiny",
            config_hash="c" * 64,
            dataset_digest="d" * 64,
            parent=None,
            sampling=config.validation.sampling.model_copy(update={"steps": STEPS}),
            extra={},
        ),
        model_card="# test\n",
    )
    return folder


def export_moving(url: str | Path, folder: Path, seed: int = 0, name: str = "champion") -> None:
    """Export :func:`moving_bundle` of a seed under a name; ``folder`` is a workspace of the test's own."""
    workspace = Workspace(folder / "runs")
    bundle = workspace.root / f"bundle-{seed}"
    if not bundle.exists():
        moving_bundle(bundle, seed)
    export_to(url, workspace, str(bundle), name=name)


def picture(seed: int = 0, size: tuple[int, int] = (64, 64)) -> bytes:
    """A PNG with coloured stripes, other ones for another seed."""
    drawing = np.random.default_rng(seed)
    stripes = drawing.integers(0, 255, (1, size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.repeat(stripes, size[1], axis=0)).save(file, "PNG")
    return file.getvalue()


def frames_of(mp4: bytes) -> np.ndarray:
    """Frames (t h w 3) of an mp4, as signed integers."""
    with av.open(io.BytesIO(mp4)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(int)


@dataclass(frozen=True)
class FixedModel:
    """A model that is never exchanged."""

    name: str
    exported: ExportedBundle
    animator: Animator


class FixedModels:
    """Models of the exports at a location, read once."""

    def __init__(self, url: str | Path, cache_folder: Path, *names: str) -> None:
        self._models: dict[str, FixedModel] = {}
        for name in names or ("champion",):
            exported = read_export(str(url), name, to=cache_folder)
            self._models[name] = FixedModel(name, exported, exported.animator())

    def resolve(self, model: str) -> FixedModel | None:
        return self._models.get(model)

    def served(self) -> frozenset[str]:
        return frozenset(self._models)

    def between_jobs(self) -> None:
        """Nothing is exchanged."""

    def report(self, store: JobStore) -> None:
        """Record what is served, as a replica does that has rendered its smoke clips."""
        models = tuple(_status(model) for model in self._models.values())
        store.report(ReplicaReport(replica="fixed", device="cpu", models=models))


def _status(model: FixedModel) -> ModelStatus:
    export, architecture = model.exported.export, model.animator.architecture
    version = ServedVersion(
        name=model.name,
        bundle_id=export.manifest.bundle_id,
        manifest=export.digest,
        preset=export.manifest.preset,
        stage=export.manifest.stage,
        alias=model.exported.pointer.alias,
        since=datetime.now(UTC),
        width=architecture.width,
        height=architecture.height,
        frames=architecture.frames,
        modes=("animate", "interpolate", "loop"),
        sampling=model.exported.sampling,
    )
    return ModelStatus(name=model.name, state="serving", serving=version, desired=export.digest)


class StepGate:
    """Makes sampling wait after a step until the test lets it go on."""

    def __init__(self) -> None:
        self._after = 0
        self._reached, self._go_on = threading.Event(), threading.Event()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wrap the sampler as the engine calls it."""
        sample_latents = models.animate.sample_latents

        def gated(*args: object, keep: Keep, **options: object) -> torch.Tensor:
            def waiting(done: int, steps: int) -> Sequence[int] | None:
                if done == self._after:
                    self._go_on.clear()
                    self._reached.set()
                    assert self._go_on.wait(_PATIENCE_S)
                return keep(done, steps)

            return sample_latents(*args, keep=waiting, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(models.animate, "sample_latents", gated)

    def close(self, after: int) -> None:
        """Wait after this step, before the engine learns of it."""
        self._after = after
        self._reached.clear()

    def wait(self) -> None:
        """Return once a batch waits."""
        assert self._reached.wait(_PATIENCE_S)

    def go_on(self, until: int) -> None:
        """Let the batch go on, and return once it waits after a later step."""
        self._after = until
        self._reached.clear()
        self._go_on.set()
        self.wait()

    def open(self) -> None:
        """Let the batch go on, and the following ones pass."""
        self._after = 0
        self._go_on.set()


class Service:
    """An engine and its stores. Jobs may be submitted before :meth:`start`, so that they form a batch."""

    def __init__(self, store: JobStore, results: Results, models: Models, engine: Engine) -> None:
        self.store, self.results, self.models, self.engine = store, results, models, engine

    def start(self) -> None:
        self.engine.start()

    def submit(self, prompt: str = "a ball rolls", image: bytes | None = None, **spec: object) -> Job:
        """An accepted job with a stored picture; ``spec``: other values of :class:`JobSpec`."""
        values = {"model": "champion", "prompt": prompt, "first": self.store_picture(image), "seed": 0}
        return self.store.submit(JobSpec.model_validate(values | spec), "anonymous", LimitSettings()).job

    def store_picture(self, image: bytes | None = None) -> StoredPicture:
        content = picture() if image is None else image
        width, height = Image.open(io.BytesIO(content)).size
        return self.results.put_picture(content, width, height)

    def wait(self, *jobs: Job, timeout_s: float = _PATIENCE_S) -> list[Job]:
        """The jobs, once all have ended."""

        wait_until(lambda: self.ended(*jobs), timeout_s, every_s=0.02)
        return self.all(*jobs)

    def ended(self, *jobs: Job) -> bool:
        """Whether all of the jobs have ended."""
        return all(job.state in ENDED for job in self.all(*jobs))

    def all(self, *jobs: Job) -> list[Job]:
        """The jobs as they are now."""
        found = self.store.get_many([job.id for job in jobs])
        return [found[job.id] for job in jobs]

    def knows_cancelled(self, job: Job) -> bool:
        """Whether the engine, which has the job, knows that it was cancelled."""
        return any(each.job.id == job.id and each.cancelled for each in self.engine.running)

    @property
    def failed(self) -> bool:
        """Whether the engine reports that it cannot go on."""
        try:
            self.engine.check()
        except EngineError:
            return True
        return False

    def read(self, clip: Clip | None) -> bytes:
        """A stored clip."""
        assert clip is not None
        return self.results.read(clip.name)

    def counted(self, name: str, *labels: str) -> float:
        """A counter of the store, once the engine has written what it counted."""
        self.engine.flush_counters()
        return self.store.counters().get(Sample(f"{PREFIX}_{name}", labels), 0.0)


@contextmanager
def engine_service(
    folder: Path, served: Models, *, clock: Callable[[], float] | None = None, **settings: object
) -> Iterator[Service]:
    """A service of these models with its state in ``folder``, not yet started.

    ``clock``: of the stores, in seconds; ``settings``: of the engine.
    """
    chosen = EngineSettings.model_validate({"batch": 1, "lease_seconds": 5.0, **settings})
    folder.mkdir(parents=True, exist_ok=True)
    rules = StoreRules(lease_s=chosen.lease_seconds, attempts=chosen.attempts)
    # As many as the test's own thread: their number decides how sums are rounded.
    threads = torch.get_num_threads()
    store = JobStore(f"sqlite:///{folder / 'jobs.sqlite'}", rules, clock=clock)
    results = Results(folder / "results", folder / "cache")
    engine = Engine(store, results, served, chosen, f"replica-{secrets.token_hex(4)}", threads=threads)
    try:
        yield Service(store, results, served, engine)
    finally:
        if engine.started:
            engine.stop(10.0)
        store.close()


@contextmanager
def http_service(
    folder: Path, served: FixedModels, settings: ServingSettings | None = None, **engine: object
) -> Iterator[tuple[Service, str]]:
    """A running service with its API at a URL; without keys. ``engine``: settings of the engine."""
    with engine_service(folder, served, **engine) as service:
        reporting = Repeating(lambda: served.report(service.store), 1.0, "reports")
        served.report(service.store)
        reporting.start()
        service.start()
        app = build_app(
            service.store, service.results, settings or ServingSettings(), AnyKey(), read_submission
        )
        try:
            with listening(app) as url:
                yield service, url
        finally:
            reporting.stop()
