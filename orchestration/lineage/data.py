"""Nodes of the data of a run: source tables, datasets, latents, and the mixture of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.storage import Folder
from core.urls import is_url, recordable, resolve
from models.bundle import TrainedOn
from orchestration.lineage.building import GraphBuilder
from orchestration.lineage.content import WorkspaceContent
from orchestration.lineage.data_checks import check_dataset, check_latents, check_table
from orchestration.lineage.data_facts import (
    card_facts,
    dataset_facts,
    latent_facts,
    mixture_facts,
    selection_text,
)
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.records import Fact, Node
from orchestration.lineage.used_data import UsedData
from orchestration.workspace import display_path
from pipelines.card import read_card
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.latent_records import LATENTS, LatentsRecord, read_latents_record
from pipelines.dataset.made_from import made_from, source_locations
from pipelines.dataset.records import DatasetRecord
from pipelines.ingest import recorded_table
from pipelines.loader import training_digest


class DataCollector:
    """Adds the data that runs trained on."""

    def __init__(
        self, builder: GraphBuilder, looker: Looker, content: WorkspaceContent, *, deep: bool
    ) -> None:
        self._builder, self._looker, self._deep = builder, looker, deep
        self._folders = [str(folder) for folder in content.datasets]
        self._latents = [str(folder) for folder in content.latents]
        self._records: dict[str, DatasetRecord | Check] = {}

    def add(self, target: str, digest: str, used: Sequence[UsedData]) -> None:
        """Link the data with this digest to the run ``target``; ``used``: empty where it is not known."""
        known = [data.record for data in used]
        if not used:
            self._builder.link(self._unknown(digest), target, "trained on")
            return
        if [record["digest"] for record in known] == [digest]:
            self._builder.link(self._dataset(used[0]), target, "trained on")
        else:
            self._builder.link(self._mixture(digest, used), target, "trained on")
        for data in used:
            if data.record["latents"] is not None or data.latents_url is not None:
                self._builder.link(self._add_latents(data), target, "read in place of pixels")

    def read_dataset(self, url: str) -> DatasetRecord | Check:
        """The record of the dataset at a URL, or why it cannot be read; read once."""
        if url not in self._records:
            self._records[url] = self._looker.look(url, partial(_existing, url), absent="missing")
        return self._records[url]

    def _unknown(self, digest: str) -> str:
        """A dataset that nothing but its digest is known of; found if the workspace has it."""
        record = TrainedOn(digest=digest, latents=None, weights=[], selection={}, scores=None)
        return self._dataset(UsedData(record))

    def _mixture(self, digest: str, used: Sequence[UsedData]) -> str:
        records = [data.record for data in used]
        known = training_digest(records) == digest
        check = (
            Check("verified", "computed again from the datasets, weights and selections")
            if known
            else Check("changed", "the recorded datasets, weights and selections give another digest")
        )
        key = self._builder.add(
            Node(
                f"mixture:{digest}",
                "mixture",
                "mix of datasets" if len(used) > 1 else "selected clips",
                digest,
                check.state,
                check.reason,
                facts=mixture_facts(records),
            )
        )
        for data in used:
            self._builder.link(self._dataset(data), key, selection_text(data.record))
        return key

    def _dataset(self, used: UsedData) -> str:
        digest = used.record["digest"]
        key = f"dataset:{digest}"
        if key in self._builder:
            return key
        url, record, check = self._find(digest, used.url)
        self._builder.add(
            Node(
                key,
                "dataset",
                f"dataset {_name(url)}" if url else "dataset",
                digest,
                check.state,
                check.reason,
                None if url is None else _where(url),
                () if record is None else (*dataset_facts(record), *self._card_facts(url, digest)),
            )
        )
        if url is not None and record is not None:
            self._add_sources(url, record, key)
        return key

    def _card_facts(self, url: str | None, digest: str) -> tuple[Fact, ...]:
        card = None if url is None else self._looker.look(url, lambda: read_card(Folder(url)))
        return () if isinstance(card, Check) else card_facts(card, digest)

    def _add_sources(self, url: str, record: DatasetRecord, dataset: str) -> None:
        """The datasets that a dataset was made from, with theirs; or the table of an ingested one."""
        origin = made_from(record)
        if origin is None:
            self._add_table(url, record, dataset)
            return
        located = self._looker.look(url, lambda: source_locations(Folder(url)))
        known = [] if isinstance(located, Check) else located
        urls = {each["digest"]: resolve(each["url"], url) for each in known}
        for source in origin["sources"]:
            digest = source["digest"]
            used = TrainedOn(digest=digest, latents=None, weights=[], selection={}, scores=None)
            self._builder.link(self._dataset(UsedData(used, urls.get(digest))), dataset, origin["operation"])

    def _find(self, digest: str, url: str | None) -> tuple[str | None, DatasetRecord | None, Check]:
        """Where the dataset with this digest is, its record, and its state."""
        first = Check("missing", "it is not in the workspace, and nothing records where it was")
        for candidate in dict.fromkeys([*([url] if url else []), *self._folders]):
            found = self.read_dataset(candidate)
            if isinstance(found, Check):
                first = found if candidate == url else first
                continue
            if found["digest"] == digest:
                check = check_dataset(candidate, found, self._looker, deep=self._deep)
                return candidate, found, check
            reason = _replaced(found, digest)
            if reason is not None:
                return candidate, None, Check("missing", reason)
            if candidate == url:
                first = Check(
                    "missing", f"{_where(candidate)} contains another dataset now: {found['digest'][:12]}"
                )
        return url, None, first

    def _add_table(self, url: str, record: DatasetRecord, dataset: str) -> None:
        if record["config"].get("kind") == "images":
            return
        table = self._looker.look(url, lambda: recorded_table(url))
        if table is None:
            return
        digest = record["config"].get("source_sha256")
        if isinstance(table, Check) or not isinstance(digest, str):
            check = table if isinstance(table, Check) else Check("not_checked", "its digest is not recorded")
            key = f"source_table:of {dataset}"
            node = Node(key, "source_table", "table", None, check.state, check.reason)
        else:
            check = check_table(table, digest, self._looker, deep=self._deep)
            node = Node(
                f"source_table:{digest}",
                "source_table",
                f"table {_name(table.url)}",
                digest,
                check.state,
                check.reason,
                _where(table.url),
                () if table.rows is None else (Fact("rows", f"{table.rows:,}"),),
            )
        self._builder.link(self._builder.add(node), dataset, "ingested")

    def _add_latents(self, used: UsedData) -> str:
        digest, url = used.record["latents"], used.latents_url
        found, at, check = self._find_latents(digest, url, used.record["digest"])
        key = self._builder.add(
            Node(
                f"latents:{digest or 'of ' + used.record['digest']}",
                "latents",
                f"latents {_name(at)}" if at else "latents",
                digest or (found["digest"] if found else None),
                check.state,
                check.reason,
                None if at is None else _where(at),
                () if found is None else latent_facts(found),
            )
        )
        self._builder.link(f"dataset:{used.record['digest']}", key, "encoded")
        return key

    def _find_latents(
        self, digest: str | None, url: str | None, dataset: str
    ) -> tuple[LatentsRecord | None, str | None, Check]:
        first = Check("missing", "they are not in the workspace, and nothing records where they were")
        for candidate in dict.fromkeys([*([url] if url else []), *self._latents]):
            found = self._looker.look(candidate, partial(_existing_latents, candidate), absent="missing")
            if isinstance(found, Check):
                first = found if candidate == url else first
            elif digest == found["digest"] or (digest is None and found["dataset"] == dataset):
                return found, candidate, check_latents(candidate, found, self._looker, deep=self._deep)
            elif candidate == url:
                first = Check(
                    "missing", f"{_where(candidate)} contains other latents now: {found['digest'][:12]}"
                )
        return None, url, first


def _existing(url: str) -> DatasetRecord:
    folder = Folder(url)
    if not folder.exists(DATASET):
        raise FileNotFoundError(DATASET)
    return read_dataset_record(folder)


def _existing_latents(url: str) -> LatentsRecord:
    folder = Folder(url)
    if not folder.exists(LATENTS):
        raise FileNotFoundError(LATENTS)
    return read_latents_record(folder)


def _replaced(record: DatasetRecord, digest: str) -> str | None:
    """Why a dataset does not have an earlier digest any more, if its history has that one."""
    history = record.get("history", [])
    # A takedown of rows without clips leaves the digest as it is: those after it count, too.
    start = next((number for number, each in enumerate(history) if each["digest"] == digest), len(history))
    removals = [each for each in history[start:] if each["samples"]]
    if not removals:
        return None
    clips = sum(each["samples"] for each in removals)
    removed = "1 clip was" if clips == 1 else f"{clips:,} clips were"
    days = " and ".join(dict.fromkeys(each["date"][:10] for each in removals))
    return f"{removed} taken down from it on {days}: the dataset is {record['digest'][:12]} now"


def _name(url: str) -> str:
    url = recordable(url)
    return url.rstrip("/").rpartition("/")[2] or url


def _where(url: str) -> str:
    return recordable(url) if is_url(url) else display_path(url)
