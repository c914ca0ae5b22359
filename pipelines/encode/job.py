"""The job: the clips of a dataset → latents that training reads instead of pixels, on Ray actors.

A unit of work is one shard of the dataset. Its latents depend on the shard, the transform and the codec
alone, and its manifest names the shard by digest: running again makes what is missing, and after the dataset
has grown only what has changed.
"""

import logging
import time
from dataclasses import dataclass

from core.canonical_json import canonical_json
from core.config.locations import with_absolute_paths
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from pipelines.cluster.shard_jobs import Progress, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.latent_records import (
    ENCODE,
    LATENTS,
    LatentKey,
    LatentManifest,
    LatentsRecord,
    latent_shard_name,
    read_latents_record,
)
from pipelines.dataset.latent_units import commit_latents, is_made_of
from pipelines.dataset.record_files import read_job_record
from pipelines.dataset.records import Settings
from pipelines.dataset.units import committed_units, read_units, unit_name
from pipelines.encode.decoding import ClipRow
from pipelines.encode.unit import EncodeConfig, UnitEncoder, load_models

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodeReport:
    """What the latents hold, and what this run did.

    ``made_units`` were made now, ``skipped_units`` were finished before.
    """

    samples: int
    encoded: int
    failed: int
    bytes: int
    digest: str
    seconds: float
    skipped_units: int
    made_units: int


def encode(config: EncodeConfig, progress: Progress = lambda done, total: None) -> EncodeReport:
    """Make the latents of a dataset, or what is missing or out of date of them.

    ``progress`` gets (samples done, samples). Raises AnimaticError if the dataset, the codec or the text
    tower cannot be read, if the output holds something else, or if the codec's latents do not fit 16 bits.
    """
    started = time.monotonic()
    config = with_absolute_paths(config, "dataset", "output", "codec.path", "encoders.path")
    dataset, folder = Dataset.open(config.dataset), Folder(config.output)
    _, _, key = load_models(config)
    if key.text is not None and dataset.has_more_captions:
        log.warning(
            "samples of %s have several captions: text features are stored of the first alone, and training "
            "reads them with data.captions.draw=first",
            dataset.folder,
        )
    _require_key(folder, key)
    if folder.exists(LATENTS):
        info = read_latents_record(folder)
        if info["dataset"] == dataset.digest and _whole(folder, info):
            return _report(info, started, skipped=len(info["shards"]))
    with exclusive_lock(folder, "encode"):
        _require_key(folder, key)  # another encode may have begun meanwhile
        folder.write(ENCODE, canonical_json(key.identity()))
        # From here on the latents are between two states of the dataset, and must not be read as either.
        folder.remove(LATENTS)
        _remove_beyond(folder, len(dataset.info["shards"]))
        finished = _current_units(folder, dataset, key)
        run_by_shard(
            config,
            dataset,
            UnitEncoder,
            (config, key),
            columns=tuple(ClipRow.__annotations__),
            finished=finished,
            progress=progress,
        )
        info = commit_latents(folder, dataset, key)
    return _report(info, started, skipped=len(finished))


def _require_key(folder: Folder, key: LatentKey) -> None:
    """Refuse an output with latents of another key, or with other content."""
    recorded = read_job_record(folder, ENCODE, Settings, "latents")
    if recorded is None:
        return
    wanted = key.identity()
    differing = sorted(name for name in recorded | wanted if recorded.get(name) != wanted.get(name))
    if differing:
        raise AnimaticError(
            f"{folder} holds latents with another {', '.join(differing)}; choose a new output folder"
        )


def _whole(folder: Folder, info: LatentsRecord) -> bool:
    sizes = folder.sizes()
    return all(sizes.get(shard["name"]) == shard["bytes"] for shard in info["shards"])


def _current_units(folder: Folder, dataset: Dataset, key: LatentKey) -> set[int]:
    """Committed units whose tar exists and whose source shard is still the dataset's."""
    shards, sizes = dataset.info["shards"], folder.sizes()
    units = (unit for unit in sorted(committed_units(folder)) if unit < len(shards))
    return {
        manifest["unit"]
        for manifest in read_units(folder, units, LatentManifest)
        if is_made_of(manifest, key, shards[manifest["unit"]])
        and sizes.get(manifest["shard"]["name"]) == manifest["shard"]["bytes"]
    }


def _remove_beyond(folder: Folder, units: int) -> None:
    """Remove what an earlier, larger state of the dataset left."""
    for unit in sorted(committed_units(folder)):
        if unit >= units:
            folder.remove(unit_name(unit))
            folder.remove(latent_shard_name(unit))


def _report(info: LatentsRecord, started: float, skipped: int) -> EncodeReport:
    return EncodeReport(
        **info["counts"],
        bytes=sum(shard["bytes"] for shard in info["shards"]),
        digest=info["digest"],
        seconds=time.monotonic() - started,
        skipped_units=skipped,
        made_units=len(info["shards"]) - skipped,
    )
