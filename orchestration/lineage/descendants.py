"""What has seen a dataset: everything in the workspace and the ledger that descends from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from core.storage import Folder
from core.urls import absolute, is_url
from models.bundle import BundleInfo
from orchestration.lineage.bundle_index import KnownBundle, known_bundles
from orchestration.lineage.content import WorkspaceContent, content_of
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.reports import read_reports
from orchestration.lineage.run_index import RunIndex
from orchestration.lineage.runs import RecordedRun
from orchestration.lineage.used_data import used_data
from orchestration.registry import History
from orchestration.workspace import Workspace, display_path
from pipelines.dataset.latent_records import LatentsRecord, read_latents_record

DescendantKind = Literal["latents", "run", "bundle", "report", "alias", "export", "deployment"]
Key = TypeVar("Key", Path, str)
_SHORT = 12


@dataclass(frozen=True)
class Descendant:
    """One thing that has seen a dataset.

    Attributes:
        name: for people: a run's folder, a bundle's stage and preset, an alias with its preset.
        digest: a bundle's id, the digest of latents or of a report; None for the others.
        where: path or URL; None if it is not known, or for an alias.
        why: how it descends from the dataset, in words.
        certain: False where it may have seen it, and no record that is left says that it has not.
    """

    kind: DescendantKind
    name: str
    digest: str | None
    where: str | None
    why: str
    certain: bool = True


def seen_by(
    digests: Collection[str], workspace: Workspace, *, urls: Collection[str] = ()
) -> list[Descendant]:
    """Latents, runs (finished or not), bundles, reports, aliases, exports and deployments that descend from a
    dataset, directly or through others.

    Args:
        digests: of the dataset, its earlier ones included.
        urls: folders or URLs of the dataset: runs that name one of them but recorded another digest may have
            seen what it contained then, and runs that validate on it record no digest.

    Raises:
        AnimaticError: the ledger is damaged.
    """
    return _Search(frozenset(digests), workspace, frozenset(map(_comparable, urls))).results()


@dataclass(frozen=True)
class _Reason:
    why: str
    certain: bool = True


class _Search:
    """One search. ``runs`` and ``bundles``: those found so far, with the reason."""

    def __init__(self, digests: frozenset[str], workspace: Workspace, urls: frozenset[str]) -> None:
        self._digests, self._urls = digests, urls
        self._content: WorkspaceContent = content_of(workspace.root)
        self._history: History = workspace.ledger.snapshot()
        self._index = RunIndex(self._content.runs)
        self._known = known_bundles(self._history, self._content, self._index)
        self._looker = Looker()
        self._runs: dict[Path, _Reason] = {}
        self._bundles: dict[str, _Reason] = {}

    def results(self) -> list[Descendant]:
        """All, by kind."""
        while self._grow():
            pass
        return [
            *self._latents(),
            *self._listed_runs(),
            *self._listed_bundles(),
            *self._reports(),
            *self._aliases(),
            *self._deliveries(),
        ]

    def _grow(self) -> bool:
        """One round over all runs and bundles; whether it found more, or became certain of one."""
        grown = False
        for run in self._index.runs:
            grown |= _note(self._runs, run.folder.path, self._of_run(run))
        for bundle in self._known.values():
            grown |= _note(self._bundles, bundle.id, self._of_bundle(bundle))
        return grown

    def _of_run(self, run: RecordedRun) -> _Reason | None:
        inputs, config = run.inputs, run.config
        for digest in sorted(self._digests & self._data_of(run)):
            return _Reason(f"trained on dataset {digest[:_SHORT]}")
        for source in inputs.sources if inputs else ():
            if source in self._bundles:
                return self._through(f"started from bundle {source[:_SHORT]}", self._bundles[source])
        if inputs is not None and inputs.continued is not None:
            writer = self._index.of_checkpoint(inputs.continued, None)
            if writer is not None and writer.folder.path in self._runs:
                why = f"continued a checkpoint of {writer.folder.path.name}"
                return self._through(why, self._runs[writer.folder.path])
        if isinstance(config, str):
            return None
        named = {_comparable(each.dataset) for each in config.data.datasets}
        if named & self._urls:
            return _Reason("trained on another state of the dataset, which may have had it", certain=False)
        validated = config.validation.data
        if validated is not None and _comparable(validated) in self._urls:
            return _Reason("validates on the dataset: its samples are drawn from it")
        return None

    def _data_of(self, run: RecordedRun) -> set[str]:
        """Digests of the datasets of a run, as far as they are known."""
        if run.inputs is None or run.inputs.data is None:
            return set()
        found = used_data(run.inputs.data, run, None, self._looker)
        return {run.inputs.data, *(data.record["digest"] for data in found)}

    def _of_bundle(self, bundle: KnownBundle) -> _Reason | None:
        run = bundle.run
        if run is not None and run.folder.path in self._runs:
            reason = self._runs[run.folder.path]
            return _Reason(reason.why, reason.certain)
        info = bundle.info
        if info is None:
            if run is not None:
                return None
            return _Reason("it is gone: what it was trained on is not known", certain=False)
        return self._of_description(info)

    def _of_description(self, info: BundleInfo) -> _Reason | None:
        recorded = {record["digest"] for record in info.extra.get("datasets", [])} | {info.dataset_digest}
        for digest in sorted(self._digests & recorded):
            return _Reason(f"trained on dataset {digest[:_SHORT]}")
        for source in (info.parent, info.extra.get("base")):
            if source is not None and source in self._bundles:
                return self._through(f"descends from bundle {source[:_SHORT]}", self._bundles[source])
        continued = info.extra.get("continued")
        if continued is not None:
            writer = self._index.of_checkpoint(continued["checkpoint"], None)
            if writer is not None and writer.folder.path in self._runs:
                why = f"continued a checkpoint of {writer.folder.path.name}"
                return self._through(why, self._runs[writer.folder.path])
        return None

    @staticmethod
    def _through(why: str, source: _Reason) -> _Reason:
        """A reason that is as certain as the one that it rests on."""
        return _Reason(why, source.certain)

    def _latents(self) -> Iterator[Descendant]:
        configured = set[str]()
        for run in self._index.runs:
            if not isinstance(run.config, str):
                configured |= {each.latents for each in run.config.data.datasets if each.latents}
        local = {str(folder.resolve()): str(folder) for folder in self._content.latents}
        remote = {_comparable(url): url for url in sorted(configured)}
        for url in {**remote, **local}.values():
            record = self._looker.look(url, partial(_latents_record, url), absent="missing")
            if not isinstance(record, Check) and record["dataset"] in self._digests:
                why = f"encoded from dataset {record['dataset'][:_SHORT]}"
                yield Descendant("latents", display_path(url), record["digest"], display_path(url), why)

    def _listed_runs(self) -> Iterator[Descendant]:
        for path, reason in sorted(self._runs.items()):
            yield Descendant("run", path.name, None, display_path(path), reason.why, reason.certain)

    def _listed_bundles(self) -> Iterator[Descendant]:
        for bundle_id, reason in self._bundles.items():
            bundle = self._known[bundle_id]
            where = display_path(bundle.folder) if bundle.folder else None
            yield Descendant("bundle", bundle.title, bundle_id, where, reason.why, reason.certain)

    def _reports(self) -> Iterator[Descendant]:
        for report in read_reports(self._content.reports):
            where = display_path(report.path)
            name = report.path.parent.name
            if report.data in self._digests:
                yield Descendant("report", name, report.digest, where, "measured on clips of the dataset")
            elif (found := self._bundle_of(report.system)) is not None:
                why, certain = f"of bundle {found[:_SHORT]}", self._bundles[found].certain
                yield Descendant("report", name, report.digest, where, why, certain)

    def _bundle_of(self, system: str) -> str | None:
        """The found bundle whose id begins with this; a damaged report has only the beginning."""
        if len(system) < _SHORT:
            return None
        return next((each for each in self._bundles if each.startswith(system)), None)

    def _aliases(self) -> Iterator[Descendant]:
        for preset in self._history.presets():
            for name, entry in self._history.aliases(preset).items():
                if entry.bundle_id in self._bundles:
                    why, reason = f"names bundle {entry.bundle_id[:_SHORT]}", self._bundles[entry.bundle_id]
                    yield Descendant("alias", f"{name} of {preset}", None, None, why, reason.certain)

    def _deliveries(self) -> Iterator[Descendant]:
        for entry in self._history.entries():
            reason = self._bundles.get(entry.bundle_id)
            if reason is None or not entry.location:
                continue
            kind: DescendantKind = "export" if entry.kind == "exported" else "deployment"
            why = f"contains bundle {entry.bundle_id[:_SHORT]}"
            yield Descendant(kind, entry.location, entry.digest or None, entry.location, why, reason.certain)


def _note(found: dict[Key, _Reason], key: Key, reason: _Reason | None) -> bool:
    """Keep a reason that is the first, or the first that is certain; whether it is."""
    known = found.get(key)
    if reason is None or (known is not None and (known.certain or not reason.certain)):
        return False
    found[key] = reason
    return True


def _latents_record(url: str) -> LatentsRecord:
    return read_latents_record(Folder(url))


def _comparable(url: str) -> str:
    """The same text for the same folder or URL, however it is written."""
    return url.rstrip("/") if is_url(url) else str(Path(absolute(url)).resolve())
