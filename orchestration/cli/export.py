"""Verbs over exports to serving: export, exports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Actor,
    AsJson,
    Note,
    err,
    local_source,
    out,
    print_json,
    print_table,
    print_warning,
    short,
)
from orchestration.cli.streams import printable
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.export import ExportResult

PANEL = "Promotion"


Name = Annotated[
    str | None,
    typer.Option(help="Of the pointer; the alias, or the beginning of the id, if not given."),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(help="Besides the bundle: dynamicrafter, diffusers, or both with a comma between."),
]
Card = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FILE",
        help="YAML of what the authors state: licence, intended use, limitations.",
    ),
]
ExportedCodec = Annotated[
    Path | None,
    typer.Option(
        parser=local_source, metavar="PATH", help="Autoencoder to export with a bundle that has none."
    ),
]
ExportedEncoders = Annotated[
    Path | None,
    typer.Option(parser=local_source, metavar="PATH", help="CLIP to export with a bundle that has none."),
]
Keep = Annotated[
    int | None,
    typer.Option(min=0, help="Remove exports that no pointer names, but for so many; all stay if not given."),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (export, exports))


def export(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, id or alias, as champion.")],
    to: Annotated[
        str, typer.Option(metavar="URL", help="Folder or URL that serving reads, as s3://BUCKET/X.")
    ],
    name: Name = None,
    format: Formats = None,
    card: Card = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Of the alias, where several have it.")
    ] = None,
    codec: ExportedCodec = None,
    encoders: ExportedEncoders = None,
    keep: Keep = None,
    actor: Actor = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Copy a bundle to where serving reads it, verified there, and make it visible by a pointer."""
    from orchestration.workflows import export as workflow
    from orchestration.workspace import Workspace

    options = workflow.ExportOptions(
        bundle, to, name, preset, _formats(format), card, codec, encoders, keep, actor, note
    )
    with err().status("opening the bundle") as status:
        result = workflow.export(options, Workspace.current(), lambda text: status.update(printable(text)))
    if as_json:
        print_json(_fields(result))
    else:
        _print(result)
    if result.warning:
        print_warning(result.warning)
    manifest = result.published.export.manifest
    if manifest.sampling_from == "general":
        print_warning("the bundle has no sampling settings of its own: the export states general ones")


def exports(
    url: Annotated[str, typer.Argument(metavar="URL", help="Folder or URL that was exported to.")],
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte, not sizes alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the exports that a location makes visible, and check that each is whole."""
    from orchestration.workflows import export as workflow

    with err().status("reading exports"):
        found = workflow.list_exports(url, deep=deep)
    problems = [problem for listed in found for problem in listed.problems]
    if as_json:
        print_json({"exports": found})
    else:
        known = [listed.pointer for listed in found if listed.pointer is not None]
        rows = [(p.name, short(p.bundle_id), p.preset, p.alias, p.time, p.export) for p in known]
        print_table(("name", "bundle", "preset", "alias", "when", "export"), rows)
        for problem in problems:
            print_warning(problem)
        checked = "every digest" if deep else "every size"
        number = "1 export" if len(found) == 1 else f"{len(found)} exports"
        out().print(f"{number}, {checked} checked: {len(problems) or 'no'} problems")
    if problems:
        raise typer.Exit(1)


def _formats(given: list[str] | None) -> tuple[str, ...]:
    """Every format: each value is one, or several with commas between them."""
    return tuple(name.strip() for value in given or () for name in value.split(","))


def _print(result: ExportResult) -> None:
    published, manifest = result.published, result.published.export.manifest
    copied = published.copied
    out().print(f"{display_path(result.location)} → {published.export.folder}")
    out().print(
        f"bundle {short(manifest.bundle_id)} (stage {manifest.stage}, preset {manifest.preset}), "
        f"formats {', '.join(manifest.formats)}; {_decision(result)}"
    )
    out().print(
        f"{len(copied.names)} files copied ({copied.bytes / 1e6:.1f} MB), {copied.kept} there before; "
        "every digest read back"
    )
    recorded = "recorded" if result.recorded else "recorded before"
    out().print(
        f"{recorded} in the ledger as entry {result.entry.seq}, manifest {short(result.entry.digest)}"
    )
    for folder in result.removed:
        out().print(f"removed {folder}")


def _decision(result: ExportResult) -> str:
    manifest = result.published.export.manifest
    if manifest.forced:
        return f"promoted by force: {manifest.forced}"
    return f"gate {manifest.gate}" if manifest.gate else "no gate has judged it"


def _fields(result: ExportResult) -> dict[str, object]:
    published, manifest = result.published, result.published.export.manifest
    return {
        "location": result.location,
        "bundle_id": manifest.bundle_id,
        "alias": published.pointer.alias,
        "export": published.export.folder,
        "manifest": published.export.digest,
        "formats": manifest.formats,
        "outcome": manifest.gate,
        "forced": manifest.forced,
        "copied": list(published.copied.names),
        "copied_bytes": published.copied.bytes,
        "kept": published.copied.kept,
        "changed": published.changed,
        "recorded": result.recorded,
        "entry": result.entry,
        "removed": result.removed,
    }
