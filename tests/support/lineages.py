"""A workspace with the longest lineage, made in seconds: a mix of two datasets, four stages, a continued run,
promotions through the gate, exports and a deployment. Only the training itself is left out."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.storage import Folder
from models.bundle import Bundle, ContinuedRun, TrainedOn, open_bundle
from orchestration import registry
from orchestration.registry import Ledger
from orchestration.workflows.export import ExportOptions, export
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.dataset.dataset_record import write_dataset_record
from pipelines.dataset.latent_records import TABLE, LatentKey, latent_shard_name, write_latents_record
from pipelines.ingest import IngestConfig
from pipelines.ingest.inputs import IngestInputs
from pipelines.loader import Weight, WeightedDataset, training_digest
from pipelines.sources import SourceTable
from tests.support import promotions
from tests.support.coded_clips import build_dataset
from tests.support.mirrors import no_mirror
from tests.support.small_stages import make_bundle, small_sets
from training import events
from training.checkpoints import MANIFEST, Manifest
from training.checkpoints.manifest import FileRecord, write_manifest
from training.config import RunConfig, config_hash, dump_yaml, resolve, trajectory_hash
from training.journal import Journal
from training.run_folder import RunFolder

PACKAGES = {"numpy": "2.0.0", "torch": "2.7.0"}


def ingested(root: Path, name: str, clips: int = 2) -> Dataset:
    """A dataset with the records of an ingest from ``NAME.csv``."""
    table, folder = root / f"{name}.csv", Folder(root / name)
    root.mkdir(parents=True, exist_ok=True)
    rows = [f"{name}-{n},clip.mp4,a {name} moves {n}\n" for n in range(clips)]
    table.write_text("videoid,contentUrl,name\n" + "".join(rows))
    built = build_dataset(root / name, [6] * clips)
    config = IngestConfig(source=str(table), videos=str(root), output=str(root / name), min_frames=2)
    inputs = IngestInputs.of(config, SourceTable(str(table), has_videos=True))
    inputs.write(folder)
    info = built.info
    write_dataset_record(folder, inputs.config, info["counts"], info["shards"], info["files"])
    return Dataset.open(root / name)


def encoded(dataset: Dataset, folder: Path) -> str:
    """Latents of a dataset, of zeros; their digest."""
    folder.mkdir()
    target = Folder(folder)
    shard, samples = b"0" * 512, len(dataset)
    rows = pa.table({"failure": pa.nulls(samples, pa.string())})
    pq.write_table(rows, folder / TABLE)
    table = (folder / TABLE).read_bytes()
    target.write(latent_shard_name(0), shard)
    key = LatentKey(height=64, width=64, codec="c" * 64, text=None, clips=True, precision="fp32")
    record = write_latents_record(
        target,
        dataset.digest,
        key.identity(),
        {"samples": samples, "encoded": samples, "failed": 0},
        [{"name": latent_shard_name(0), "sha256": _sha(shard), "bytes": len(shard), "samples": samples}],
        {TABLE: _sha(table)},
    )
    return record["digest"]


@dataclass
class Trained:
    """A run that has finished, or was stopped before its bundle."""

    folder: RunFolder
    config: RunConfig
    checkpoint: Path
    bundle: Bundle | None


@dataclass
class Workbench:
    """Runs, as training leaves them behind, in a workspace."""

    root: Path
    runs: dict[str, Trained] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def ledger(self) -> Ledger:
        return self.workspace.ledger

    def train(
        self,
        name: str,
        stage: int,
        data: list[TrainedOn],
        urls: list[str],
        *,
        parent: str | None = None,
        base: str | None = None,
        sets: tuple[str, ...] = (),
        continued: str | None = None,
        finish: bool = True,
        recorded: bool = True,
    ) -> Trained:
        """A run; ``parent``, ``base`` and ``continued`` are names of others.

        ``finish``: until it has a bundle, which is accepted; ``recorded``: as this version records its data,
        or as earlier ones did.
        """
        folder = RunFolder(self.root / name)
        config = self._config(stage, data, urls, sets, continued)
        sources = {"parent": self._id(parent), "base": self._id(base)}
        digest = training_digest(data)
        origin = self._continued(continued)
        folder.path.mkdir(parents=True)
        folder.config.write_text(dump_yaml(config))
        self._environment(folder)
        checkpoint = folder.checkpoints / "step-00000004"
        with_data = data if recorded else []
        with_journal = Journal(folder.journal)
        with_journal.record(0, _started(config, digest, with_data, **sources))
        with_journal.record(0, _environment())
        if continued is not None and origin is not None:
            earlier = self.runs[continued].checkpoint
            with_journal.record(4, events.Resumed(str(earlier), origin["checkpoint"]))
        with_journal.record(4, events.Metrics({"train/loss": 0.5}))
        saved = _checkpoint(checkpoint, config, digest, **sources)
        with_journal.record(4, events.CheckpointSaved(str(checkpoint), saved, 0.1))
        bundle = None
        if finish:
            extra = {"steps": config.train.steps} | ({"continued": origin} if origin else {})
            mixed = [record["digest"] for record in data] != [digest]
            extra |= {"datasets": data} if mixed and recorded else {}
            extra |= {"base": sources["base"]} if parent and base else {}
            make_bundle(
                folder.bundle,
                stage,
                sources["parent"] or sources["base"],
                seed=len(self.runs),
                config=config,
                data=digest,
                **extra,
            )
            bundle = open_bundle(folder.bundle)
            with_journal.record(config.train.steps, events.BundleWritten(str(folder.bundle), bundle.id))
            with_journal.record(config.train.steps, events.Ended())
            registry.accept(self.ledger, bundle)
        with_journal.close()
        self.runs[name] = Trained(folder, config, checkpoint, bundle)
        return self.runs[name]

    def bundle(self, name: str) -> Bundle:
        """The bundle of a finished run."""
        bundle = self.runs[name].bundle
        assert bundle is not None
        return bundle

    def _id(self, name: str | None) -> str | None:
        return None if name is None else self.bundle(name).id

    def _continued(self, name: str | None) -> ContinuedRun | None:
        if name is None:
            return None
        run = self.runs[name]
        digest = _sha((run.checkpoint / MANIFEST).read_bytes())
        return ContinuedRun(checkpoint=digest, step=4, config_hash=config_hash(run.config))

    def _config(
        self, stage: int, data: list[TrainedOn], urls: list[str], sets: tuple[str, ...], continued: str | None
    ) -> RunConfig:
        values: dict[str, object] = {"data.dataset": urls[0], "data.weight": data[0]["weights"][0][1]}
        if data[0]["latents"] is not None:
            values["data.latents"] = f"{urls[0]}-latents"
        others = zip(data[1:], urls[1:], strict=True)
        values["data.others"] = [{"dataset": url, "weight": each["weights"][0][1]} for each, url in others]
        if continued is not None:
            values["init.checkpoint"] = str(self.runs[continued].checkpoint)
        return resolve(stage, "tiny", [*small_sets(stage), *sets], values=values)

    @staticmethod
    def _environment(folder: RunFolder) -> None:
        folder.environment.write_text(json.dumps({"lock": _lock(), "packages": PACKAGES}))


def whole_lineage(root: Path, exports: int = 1) -> Workbench:
    """Everything; the champion is the run ``final``, which continues ``three``."""
    bench = Workbench(root)
    first, second = ingested(root, "first"), ingested(root, "second", clips=3)
    latents = encoded(first, root / "first-latents")
    urls = [str(root / "first"), str(root / "second")]
    plain = [WeightedDataset(first).record()]
    bench.train("prior", 0, plain, urls[:1])
    mixed = [
        {**WeightedDataset(first, [Weight(0, 3.0)]).record(), "latents": latents},
        WeightedDataset(second).record(),
    ]
    bench.train("one", 1, plain, urls[:1], base="prior")
    bench.train("two", 2, mixed, urls, parent="one", base="prior")
    bench.train("three", 3, mixed, urls, parent="two")
    bench.train("final", 3, mixed, urls, parent="two", continued="three", sets=("optimizer.lr=7e-4",))
    promotions.promote(bench.ledger, bench.bundle("three"))
    promotions.promote(bench.ledger, bench.bundle("final"))
    for number in range(exports):
        with no_mirror():
            export(ExportOptions("champion", str(root / "served" / str(number))), bench.workspace)
    if exports:
        known = registry.known_bundle(bench.ledger, "champion")
        registry.record_deployment(bench.ledger, known, "https://clips.example/animate")
    return bench


def _started(
    config: RunConfig, digest: str, data: list[TrainedOn], *, parent: str | None, base: str | None
) -> events.Started:
    return events.Started(
        config_hash=config_hash(config),
        stage=config.stage,
        preset=config.preset,
        steps=config.train.steps,
        workers=2,
        device="cpu",
        parameters=9,
        trainable=4,
        weights=90,
        trainable_weights=40,
        clips=5,
        dataset_digest=digest,
        base=base,
        parent=parent,
        code="0.1.0",
        data=data,
    )


def _environment() -> events.EnvironmentFound:
    return events.EnvironmentFound(
        python="3.11.2", platform="Linux", cuda=None, lock=_lock(), packages=len(PACKAGES), hosts=[]
    )


def _checkpoint(folder: Path, config: RunConfig, digest: str, *, parent: str | None, base: str | None) -> str:
    """A checkpoint with one file; the digest of its manifest."""
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"weights")
    manifest = Manifest(
        trajectory=trajectory_hash(config),
        dataset=digest,
        base=base,
        parent=parent,
        world_size=2,
        step=4,
        files={"weights.bin": FileRecord.of(folder / "weights.bin")},
    )
    write_manifest(folder, manifest)
    return _sha((folder / MANIFEST).read_bytes())


def _lock() -> str:
    return _sha("".join(f"{name}=={version}\n" for name, version in sorted(PACKAGES.items())).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
