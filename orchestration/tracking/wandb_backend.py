"""W&B as the destination of a run."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from core.files import write_text
from orchestration.tracking.delivery import Delivery, SampleFile
from orchestration.tracking.description import NoLinks, describe
from orchestration.tracking.facts import Attachment, Changes, Facts, ProducedBundle
from orchestration.tracking.mlflow_store import IMPORTS
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.run import TrackedRun

if TYPE_CHECKING:
    import wandb

VIDEO_SUFFIXES = {".mp4": "mp4", ".webm": "webm", ".gif": "gif"}
# Of attached files: W&B writes a config.yaml of its own beside it.
_FOLDER = "animatic"


class WandbBackend:
    """Mirrors to W&B; offline by default, with all its files under the run folder."""

    name, unique_ids = "wandb", False

    def __init__(self, mode: Literal["online", "offline"], project: str) -> None:
        self.target = f"{mode}:{project}"
        self._mode = mode

    def open(self, run: TrackedRun, known_id: str | None, rows: int) -> str:
        with IMPORTS:
            import wandb
        self._rows = rows
        folder = run.folder.resolve()
        # W&B stages the bytes of artifacts in its data folder, by default outside the run folder.
        os.environ["WANDB_DATA_DIR"] = str(folder / "wandb" / "data")
        (folder / "wandb" / "data").mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            init_timeout=20,
            x_disable_stats=True,
            # Contains the arguments of the command, which may have passwords. environment.json has the rest.
            x_disable_meta=True,
            # Folders are named by the second; two of one run would be one, with the rows of the second.
            x_sync_dir_suffix=uuid.uuid4().hex[:4],
        )
        self._run = wandb.init(
            project=run.project,
            id=known_id or run.id,
            name=run.name,
            group=run.group,
            job_type=run.kind,
            dir=str(folder),
            mode=self._mode,
            reinit="create_new",
            resume="allow" if self._mode == "online" else None,
            settings=settings,
        )
        # A replay after an interruption repeats steps; W&B's own counter would drop those silently.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        self.describe(run)
        return str(self._run.id)

    def describe(self, run: TrackedRun) -> None:
        self._run.config.update(dict(run.config()), allow_val_change=True)

    def deliver(self, delivery: Delivery) -> None:
        by_step: dict[int, dict[str, object]] = {}
        for point in delivery.points:
            by_step.setdefault(point.step, {})[point.key] = point.value
        for sample in delivery.samples:
            by_step.setdefault(sample.step, {})[f"samples/{sample.path.stem}"] = _media(sample)
        for step in sorted(by_step):
            # An interrupted run has several files, which W&B joins by this number.
            self._run.log({"step": step, **by_step[step]}, step=self._rows)
            self._rows += 1

    def display(self, facts: Facts, changes: Changes) -> None:
        import wandb

        for attachment in changes.attachments:
            if attachment.name.endswith(".html"):
                # In the summary, not among the rows: their numbers join the files of an interrupted run.
                key = str(PurePosixPath(attachment.name).parent)
                self._run.summary[key] = wandb.Html(attachment.text, inject=False)
            else:
                self._save(attachment)
        if changes.bundle is not None:
            self._run.log_artifact(_reference(changes.bundle, self._run.id))
        self._run.notes = describe(facts, NoLinks())
        self._run.summary.update({**facts.tags, **facts.standing})

    def close(self, outcome: Outcome) -> None:
        import wandb

        try:
            self._run.finish(exit_code=0 if outcome == "finished" else 1)
        except ConnectionError:
            # W&B's own process has ended, as where a job's processes all get SIGTERM. Its hook at the end of
            # this process would fail with a traceback.
            with contextlib.suppress(ConnectionError):
                wandb.teardown(exit_code=1)
            raise

    def _save(self, attachment: Attachment) -> None:
        folder = Path(self._run.dir)
        path = folder / _FOLDER / attachment.name
        write_text(path, attachment.text)
        self._run.save(str(path), base_path=str(folder), policy="now")


def _reference(bundle: ProducedBundle, run_id: str) -> wandb.Artifact:
    """The bundle by URI and digests; its bytes are not sent.

    W&B identifies an artifact by the names and URIs of its files: the names contain the bundle's id, since a
    folder may get another bundle.
    """
    import wandb

    sizes = {name: (bundle.folder / name).stat().st_size for name in bundle.files}
    metadata = {"bundle.id": bundle.id, "sha256": dict(bundle.files), "bytes": sizes}
    artifact = wandb.Artifact(f"bundle-{run_id}", type="bundle", metadata=metadata)
    for name in bundle.files:
        uri = (bundle.folder / name).as_uri()
        artifact.add_reference(uri, name=f"{bundle.id[:16]}/{name}", checksum=False)
    return artifact


def _media(sample: SampleFile) -> wandb.Image | wandb.Video:
    import wandb

    kind = VIDEO_SUFFIXES.get(sample.path.suffix)
    if kind is None:
        return wandb.Image(str(sample.path), caption=sample.prompt)
    return wandb.Video(str(sample.path), caption=sample.prompt, format=kind)
