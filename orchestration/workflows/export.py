"""Export a bundle to a location that serving reads, and record it in the ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.urls import absolute
from models.bundle import Bundle
from orchestration import export as exports
from orchestration import registry
from orchestration.export import ListedExport, Location, Published, Subject, read_card_fields
from orchestration.registry import Draft, Entry, History
from orchestration.workflows.tracked_changes import follow_change
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to.

    ``bundle``: a folder, an id or an alias (of ``preset``); ``to``: a folder or URL; ``name``: of the
    pointer, the alias or the first 16 digits of the id if None; ``formats``: besides ``bundle``; ``card``:
    file of what the authors state; ``codec`` and ``encoders``: files of parts that the bundle lacks;
    ``keep``: remove exports that no pointer names, but for so many, None keeps all; ``actor`` and ``note``:
    for the ledger.
    """

    bundle: str
    to: str
    name: str | None = None
    preset: str | None = None
    formats: tuple[str, ...] = ()
    card: Path | None = None
    codec: Path | None = None
    encoders: Path | None = None
    keep: int | None = None
    actor: str | None = None
    note: str = ""


@dataclass(frozen=True)
class ExportResult:
    """A visible export; ``location``: URL or path of its pointer; ``recorded``: whether ``entry`` is new;
    ``removed``: folders of earlier exports; ``warning`` if MLflow could not be updated."""

    published: Published
    location: str
    entry: Entry
    recorded: bool
    removed: list[str]
    warning: str | None = None


def export(
    options: ExportOptions, workspace: Workspace, on_progress: Callable[[str], None] = lambda text: None
) -> ExportResult:
    """Copy a bundle to a location, verify it there, make it visible, and record that.

    The same export again copies and records nothing; after an interruption it continues.

    Raises:
        AnimaticError: no such bundle, one that cannot be served or was withdrawn from use; a location that
            cannot be written to; an alias that moved meanwhile; or a damaged ledger. What became visible
            before is recorded nevertheless.
    """
    ledger = workspace.ledger
    formats = exports.formats_of(options.formats)
    alias = _alias(options, ledger)
    bundle = registry.named_bundle(ledger, options.bundle, options.preset)

    def check(history: History) -> None:
        _check_current(history, bundle, alias)

    history = ledger.snapshot()
    check(history)
    codec, encoders = _text(options.codec), _text(options.encoders)
    registry.check_animates(bundle, codec, encoders)
    subject = Subject(
        bundle,
        workspace,
        promotion=_promotion(history, bundle.id),
        accepted=history.accepted(bundle.id),
        formats=formats,
        fields=read_card_fields(options.card),
        codec=options.codec,
        encoders=options.encoders,
    )
    location = Location(absolute(options.to))
    name = options.name or alias or bundle.id[:16]
    published = exports.publish(
        exports.Request(subject, location, name, alias, lambda: check(ledger), on_progress)
    )
    where = location.path(exports.pointer_file(name))
    entry, recorded = _record(options, bundle, published, where, workspace)
    warning = follow_change(entry, workspace) if recorded else None
    _check_recorded(check, ledger, bundle, where)
    removed = [] if options.keep is None else exports.prune(location, options.keep)
    return ExportResult(published, where, entry, recorded, removed, warning)


def list_exports(url: str, *, deep: bool) -> list[ListedExport]:
    """The exports that a location has pointers of, checked; ``deep``: every byte.

    Raises:
        AnimaticError: the location cannot be read, or has no pointer.
    """
    location = Location(absolute(url))
    found = exports.list_exports(location, deep=deep)
    if not found:
        raise AnimaticError(f"{location} has no exports: name the location that `animatic export --to` got")
    return found


def _alias(options: ExportOptions, history: History) -> str | None:
    """The alias that the user named the bundle by."""
    entry = registry.by_alias(history, options.bundle, options.preset)
    return None if entry is None else options.bundle


def _check_current(history: History, bundle: Bundle, alias: str | None) -> None:
    """Refuse a bundle that was withdrawn from use, or lost the alias that it was named by."""
    registry.check_in_use(history, bundle.id, "exported")
    if alias is None:
        return
    entry = history.alias(bundle.info.preset, alias)
    if entry is None or entry.bundle_id != bundle.id:
        now = (
            "no bundle"
            if entry is None
            else f"bundle {entry.bundle_id[:12]} (by {entry.actor}, {entry.time})"
        )
        raise AnimaticError(
            f"the {alias} of preset {bundle.info.preset} is {now} by now, and bundle "
            f"{bundle.id[:12]} was to be exported: run it again"
        )


def _promotion(history: History, bundle_id: str) -> Entry | None:
    """The promotion by which the bundle became champion last."""
    made = [
        entry
        for entry in history.log(bundle_id)
        if entry.kind == "promoted" and entry.moved_alias == registry.CHAMPION
    ]
    return made[-1] if made else None


def _record(
    options: ExportOptions,
    bundle: Bundle,
    published: Published,
    location: str,
    workspace: Workspace,
) -> tuple[Entry, bool]:
    """The entry of an export, and whether it was added now: it is visible, whatever became of the bundle."""
    draft = dataclasses.replace(
        Draft.of("exported", bundle, actor=options.actor, note=options.note),
        location=location,
        digest=published.export.digest,
        export_format=str(published.export.manifest.format),
    )
    added = False

    def decide(history: History) -> Draft | Entry:
        nonlocal added
        at = [entry for entry in history.entries() if entry.kind == "exported" and entry.location == location]
        added = not at or (at[-1].bundle_id, at[-1].digest) != (bundle.id, published.export.digest)
        return draft if added else at[-1]

    try:
        return workspace.ledger.update(decide), added
    except AnimaticError as error:
        raise AnimaticError(
            f"{location} was written, but the ledger does not record it: {error}; then run the same command "
            "again, which copies nothing twice"
        ) from error


def _check_recorded(check: Callable[[History], None], ledger: History, bundle: Bundle, location: str) -> None:
    """Report a withdrawal, or a move of the alias, between the last check and the pointer."""
    try:
        check(ledger)
    except AnimaticError as error:
        raise AnimaticError(
            f"{location} names bundle {bundle.id[:12]}, which the ledger records, but meanwhile {error}"
        ) from error


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
