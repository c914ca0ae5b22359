"""Videos are made while versions, good and bad, are exported: none fails, each is of the version it names."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

from core.storage import Folder
from models.animate import animate
from models.bundle import open_bundle
from orchestration.export import read_export
from orchestration.media import to_frames, write_clip_file
from orchestration.pictures import open_picture, to_tensor
from orchestration.serving.exchange import Exchange
from orchestration.serving.jobs import Job, JobSpec, JobStore, ModelStatus
from orchestration.serving.settings import LimitSettings, ServingSettings
from orchestration.signatures import private_key, sign_bundle
from orchestration.workspace import Workspace
from tests.orchestration.serving.exchange.conftest import CHANGES, GOOD, Published
from tests.support.exports import export_to, flip_byte
from tests.support.serving import ENDED, Service, engine_service, moving_bundle, picture
from tests.support.signing_keys import KeyPair, key_pair
from tests.support.waiting import wait_until

SEEDS = (0, 1)
PROMPT = "a ball rolls"
LIMITS = LimitSettings(requests_per_minute=1_000_000)
# On a busy machine.
WAIT_S = 300
WEIGHTS = "bundle/model.safetensors"
# Has good weights, and is damaged at the location before a replica can fetch it.
VICTIM = "victim"
UNTRUSTED = ("unsigned", "signed_by_another")


class Running:
    """A service whose engine runs on a real exchange, and videos that are asked of it without end."""

    def __init__(self, service: Service, exchange: Exchange, store: JobStore, published: Published) -> None:
        self.service, self.exchange, self.store, self.published = service, exchange, store, published
        self.jobs: list[Job] = []
        self._stop = threading.Event()
        self._picture = service.store_picture()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def status(self) -> ModelStatus:
        """What the replica of this process would report now."""
        return next(slot.status() for slot in self.exchange._slots if slot.name == "champion")

    def serves(self, manifest: str) -> bool:
        serving = self.status().serving
        return serving is not None and serving.manifest == manifest

    def until(self, holds: Callable[[ModelStatus], bool]) -> None:
        """Wait for a state of the champion."""
        wait_until(lambda: holds(self.status()), WAIT_S, every_s=0.01)

    def swap(self, version: str) -> str:
        """Publish a good version, and wait until a video of it was made; its manifest."""
        manifest = self.published.publish(version)
        self.until(lambda status: self.serves(manifest))
        known = len(self.jobs)
        wait_until(lambda: len(self.jobs) > known + 1, WAIT_S, every_s=0.01)
        return manifest

    def refuse(self, bad: Callable[[], object]) -> None:
        """Publish a bad version, and wait until it was refused."""
        before, serving = self.status().last_error_at, self.status().serving
        assert serving is not None
        bad()
        self.until(lambda status: status.last_error_at not in (None, before))
        assert self.serves(serving.manifest)

    def ask(self) -> None:
        """Begin to ask for videos: one waits while another is made."""
        self._thread.start()

    def finish(self) -> list[Job]:
        """Ask no more; all videos in the order in which they were begun."""
        self._stop.set()
        self._thread.join()
        jobs = self.service.wait(*self.jobs, timeout_s=WAIT_S)
        return sorted(jobs, key=lambda job: job.started or job.created)

    def _ask(self) -> None:
        while not self._stop.is_set():
            active = [job for job in self.service.all(*self.jobs[-4:]) if job.state not in ENDED]
            if len(active) < 2:
                seed = SEEDS[len(self.jobs) % len(SEEDS)]
                spec = JobSpec(
                    model="champion",
                    prompt=PROMPT,
                    mode="animate",
                    first=self._picture,
                    seed=seed,
                    playback=8.0,
                )
                self.jobs.append(self.store.submit(spec, "anonymous", LIMITS).job)
            else:
                self._stop.wait(0.005)


@contextmanager
def running(folder: Path, published: Published, signers: list[str] | None = None) -> Iterator[Running]:
    """A service that serves ``published``, with its state in ``folder``."""
    settings = ServingSettings.model_validate(
        {
            "source": {
                "location": str(published.folder), "poll_seconds": 0.02, "signers": signers or [],
                "models": ["champion"],
            },
            "state": {"folder": str(folder)},
            "engine": {"smoke_steps": 2},
        }
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    store = JobStore(f"sqlite:///{folder / 'jobs.sqlite'}")
    exchange = Exchange(store, settings, "exchange")
    exchange.start()
    try:
        with engine_service(folder, exchange) as service:
            service.start()
            yield Running(service, exchange, store, published)
    finally:
        exchange.close()
        store.close()


def check_videos(running: Running, jobs: list[Job], served: list[str], templates: Path, folder: Path) -> None:
    """All are completed by versions in the order of ``served``, with the bytes of the one that they name."""
    assert {(job.state, job.error) for job in jobs} == {("completed", None)}
    made_by = [job.made_by for job in jobs if job.made_by is not None]
    assert [manifest for manifest, _ in groupby(made.manifest for made in made_by)] == served

    @cache
    def alone(manifest: str, seed: int) -> tuple[str, bytes]:
        names = [path.stem for path in templates.glob("*.json")]
        exports = (read_export(str(templates), name, to=folder / "alone") for name in names)
        exported = next(export for export in exports if export.export.digest == manifest)
        animator = exported.animator()
        size = animator.architecture.height, animator.architecture.width
        first = to_tensor(open_picture(picture(), name="the picture"), *size)
        settings = exported.sampling.model_copy(update={"seed": seed})
        (clip,) = animate(animator, first, [PROMPT], settings)
        write_clip_file(to_frames(clip), folder / "alone.mp4", 8.0)
        return exported.bundle.id, (folder / "alone.mp4").read_bytes()

    for job, made in zip(jobs, made_by, strict=True):
        clip = running.service.read(job.mp4)
        assert (made.bundle_id, clip) == alone(made.manifest, job.spec.seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_videos_during_swaps_are_of_the_versions_that_they_name(templates, published, tmp_path):
    served = [published.publish("first")]
    with running(tmp_path / "state", published) as service:
        service.until(lambda status: status.serving is not None)
        service.ask()
        service.refuse(lambda: published.publish("overflowing"))
        served.append(service.swap("second"))
        service.refuse(lambda: published.point("champion", b"{"))
        served.append(service.swap("first"))
        check_videos(service, service.finish(), served, templates, tmp_path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyPair]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: key_pair(folder, name) for name in ("ours", "theirs")}


@pytest.fixture(scope="module")
def signed(templates: Path, keys: dict[str, KeyPair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates, signed; with good weights one more, an unsigned one, and one signed by another key."""
    folder = tmp_path_factory.mktemp("signed")
    workspace = Workspace(folder / "runs")

    def export(name: str, bundle: Path, key: str | None) -> None:
        target = workspace.root / name
        shutil.copytree(bundle, target)
        if key is not None:
            sign_bundle(open_bundle(target), private_key(keys[key].private, None))
        export_to(folder / "exports", workspace, str(target), name=name)

    for name in (*GOOD, *CHANGES):
        found = read_export(str(templates), name, to=folder / "fetched")
        export(name, found.bundle.folder, "ours")
    for seed, name in enumerate((VICTIM, *UNTRUSTED), 10):
        key = {VICTIM: "ours", "signed_by_another": "theirs"}.get(name)
        export(name, moving_bundle(folder / f"good-{seed}", seed), key)
    return folder / "exports"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_swaps_good_and_bad_under_load(signed: Path, keys: dict[str, KeyPair], tmp_path: Path) -> None:
    published = Published(tmp_path / "exports", signed)
    models, victim_folder = tmp_path / "state" / "models", published.folder / published.copy(VICTIM).export

    def victim(damage: Callable[[Path], object]) -> Callable[[], None]:
        """Publish good weights that are damaged before the pointer names them."""

        def publish() -> None:
            # Under another name: its pointer may still be there, from the last time.
            working = published.folder / "working"
            shutil.copytree(signed / "exports" / victim_folder.name, working)
            damage(working)
            shutil.rmtree(victim_folder, ignore_errors=True)
            shutil.rmtree(models / victim_folder.name, ignore_errors=True)
            working.rename(victim_folder)
            published.publish(VICTIM)

        return publish

    def broken(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    def later(folder: Path) -> None:
        manifest = json.loads((folder / "export.json").read_bytes())
        (folder / "export.json").write_text(json.dumps(manifest | {"format": 9}))

    bad: list[Callable[[], object]] = [
        lambda: published.publish("nan"),
        lambda: published.publish("overflowing"),
        lambda: published.publish("narrow"),
        lambda: published.publish("incomplete"),
        lambda: published.publish("unsigned"),
        lambda: published.publish("signed_by_another"),
        victim(lambda folder: flip_byte(Folder(folder), WEIGHTS)),
        victim(lambda folder: (folder / WEIGHTS).write_bytes(b"safetensors")),
        victim(lambda folder: (folder / WEIGHTS).unlink()),
        victim(broken),
        victim(later),
        lambda: published.point("champion", b"{"),
        lambda: published.point("champion", b'{"format": 9}'),
    ]
    served = [published.publish("first")]
    with running(tmp_path / "state", published, [str(keys["ours"].public)]) as service:
        service.until(lambda status: status.serving is not None)
        service.ask()
        for number, publish in enumerate(bad):
            service.refuse(publish)
            if number % 2:
                served.append(service.swap(GOOD[len(served) % len(GOOD)]))
        served.append(service.swap(GOOD[len(served) % len(GOOD)]))
        assert len(bad) + len(served) >= 20
        check_videos(service, service.finish(), served, signed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_rollback_under_load_is_instant_and_survives_a_restart(templates, published, tmp_path):
    first = published.publish("first")
    with running(tmp_path / "state", published) as service:
        service.until(lambda status: status.serving is not None)
        service.ask()
        second = service.swap("second")
        service.store.hold("champion", second, first, "admin")
        service.until(lambda status: service.serves(first) and status.held)
        known = len(service.jobs)
        wait_until(lambda: len(service.jobs) > known + 1, WAIT_S, every_s=0.01)
        check_videos(service, service.finish(), [first, second, first], templates, tmp_path)
    with running(tmp_path / "state", published) as service:
        service.until(lambda status: status.serving is not None)
        assert service.serves(first)
        service.store.lift_hold("champion")
        service.until(lambda status: service.serves(second))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_replicas_swap_and_hold_the_same_versions(templates, published, tmp_path):
    first = published.publish("first")
    with running(tmp_path / "state", published) as one, running(tmp_path / "state", published) as two:
        for replica in (one, two):
            replica.until(lambda status: status.serving is not None)
            replica.ask()
        second = published.publish("second")
        for replica in (one, two):
            replica.until(lambda status, replica=replica: replica.serves(second))  # type: ignore[misc]
        one.store.hold("champion", second, first, "admin")
        for replica in (one, two):
            replica.until(lambda status, replica=replica: replica.serves(first) and status.held)  # type: ignore[misc]
        third = published.publish("third")
        for replica in (one, two):
            replica.until(lambda status, replica=replica: replica.serves(third))  # type: ignore[misc]
        assert one.store.holds() == []
        jobs = [*one.finish(), *two.finish()]
        assert {job.state for job in jobs} == {"completed"}
        assert {job.made_by.manifest for job in jobs if job.made_by} <= {first, second, third}
