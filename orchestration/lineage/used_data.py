"""The datasets of a run: as it recorded them, or in earlier versions as its configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from models.bundle import BundleInfo, TrainedOn
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.runs import RecordedRun
from pipelines.loader import EVERYTHING, FROM_TABLE, training_digest
from training.batch_source import open_configured
from training.config import RunConfig
from training.config.data import OtherDataset


@dataclass(frozen=True)
class UsedData:
    """One dataset of a run: what was recorded of it, and where it was, if that is known."""

    record: TrainedOn
    url: str | None = None
    latents_url: str | None = None


def used_data(
    digest: str, run: RecordedRun | None, info: BundleInfo | None, looker: Looker
) -> list[UsedData]:
    """The datasets that the data with this digest consists of; empty where that cannot be found out.

    Args:
        run, info: the run, and the description of its bundle; None where they are gone.
    """
    config = run.config if run is not None else None
    chosen = config.data.datasets if isinstance(config, RunConfig) else []
    recorded = (run.data if run is not None else []) or (info.extra.get("datasets", []) if info else [])
    motion = isinstance(config, RunConfig) and config.data.sampling.motion_condition
    whole = [each for each in chosen if each.selection == EVERYTHING and each.captions == FROM_TABLE]
    if not recorded and len(chosen) == len(whole) == 1 and not motion:
        recorded = [TrainedOn(digest=digest, latents=None, weights=[(0, 1.0)], selection={}, scores=None)]
    if not recorded and isinstance(config, RunConfig) and chosen:
        recorded = _as_now(digest, config, looker)
    urls: Sequence[OtherDataset | None] = chosen if len(chosen) == len(recorded) else [None] * len(recorded)
    return [
        UsedData(record, each.dataset if each else None, each.latents if each else None)
        for record, each in zip(recorded, urls, strict=True)
    ]


def _as_now(digest: str, config: RunConfig, looker: Looker) -> list[TrainedOn]:
    """Today's datasets, if they still are what the digest was computed from."""
    found = [looker.look(each.dataset, partial(_record, each, config)) for each in config.data.datasets]
    complete = [record for record in found if not isinstance(record, Check)]
    same = len(complete) == len(found) and training_digest(complete) == digest
    return complete if same else []


def _record(chosen: OtherDataset, config: RunConfig) -> TrainedOn:
    return open_configured(chosen, config.data.sampling).record()
