"""``animatic train --print-initialisation``: where every tensor of a stage's network comes from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from models.bundle import Bundle
from orchestration.cli.common import display_path, out, print_json, print_table, short
from training.config import RunConfig
from training.initialisation import TensorTransfer, open_source_bundles, plan_transfers
from training.stages import STAGES
from training.trainable import trainable_names


@dataclass(frozen=True)
class Row:
    """Tensors with the same origin and fate."""

    origin: str
    kind: str
    how: str
    trained: bool
    tensors: int
    parameters: int


def show(config: RunConfig, *, every_tensor: bool, as_json: bool) -> None:
    """Print the stage's initialisation; no weight is read and nothing is started.

    Args:
        every_tensor: list the tensors one by one below the table (JSON always does).

    Raises:
        AnimaticError: a bundle is missing, of another stage, or does not fit.
    """
    sources = open_source_bundles(config, verify=False)
    transfers = plan_transfers(config, sources)
    trained = set(trainable_names(config, list(transfers)))
    rows = grouped(transfers, trained)
    if as_json:
        print_json(
            {
                "stage": config.stage,
                "preset": config.preset,
                "base": _described(sources.base),
                "parent": _described(sources.parent),
                "tensors": sum(row.tensors for row in rows),
                "parameters": sum(row.parameters for row in rows),
                "groups": rows,
                "origins": [_entry(name, way, name in trained) for name, way in transfers.items()],
            }
        )
        return
    _print_head(config, {"base": sources.base, "parent": sources.parent}, rows)
    _print_rows(rows)
    if every_tensor:
        out().print()
        # Not a table: its columns would shorten the keys to the terminal's width.
        for way in transfers.values():
            out().print(f"{way.key}  {_times(way.shape)}  {way.origin}: {way.how}")


def grouped(transfers: dict[str, TensorTransfer], trained: set[str]) -> list[Row]:
    """Handovers counted by origin, kind and change, sorted."""
    tensors: Counter[tuple[str, str, str, bool]] = Counter()
    parameters: Counter[tuple[str, str, str, bool]] = Counter()
    for name, way in transfers.items():
        group = (way.origin, way.kind, way.how, name in trained)
        tensors[group] += 1
        parameters[group] += prod(way.shape)
    return [Row(*group, tensors[group], parameters[group]) for group in sorted(tensors)]


def _print_head(config: RunConfig, bundles: dict[str, Bundle | None], rows: list[Row]) -> None:
    tensors, parameters = sum(row.tensors for row in rows), sum(row.parameters for row in rows)
    title = f"stage {config.stage} ({STAGES[config.stage].name}), preset {config.preset}"
    out().print(f"{title}: {tensors:,} tensors, {parameters:,} parameters")
    for word, bundle in bundles.items():
        if bundle is not None:
            out().print(f"{word:<7}{short(bundle.id)}  {display_path(bundle.folder)}")
    out().print()


def _print_rows(rows: list[Row]) -> None:
    print_table(
        ("origin", "kind", "tensors", "parameters", "trained", "how"),
        [
            (
                row.origin,
                row.kind,
                f"{row.tensors:,}",
                f"{row.parameters:,}",
                "yes" if row.trained else "no",
                row.how,
            )
            for row in rows
        ],
    )


def _described(bundle: Bundle | None) -> dict[str, Any] | None:
    return {"id": bundle.id, "folder": bundle.folder} if bundle else None


def _entry(name: str, way: TensorTransfer, trained: bool) -> dict[str, Any]:
    return {
        "key": way.key,
        "name": name,
        "kind": way.kind,
        "shape": way.shape,
        "origin": way.origin,
        "how": way.how,
        "trained": trained,
    }


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
