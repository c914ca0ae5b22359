"""Datasets made of other datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from pipelines.reshape import (
    Conditions,
    Execution,
    ReshapeReport,
    ShardSize,
    merge,
    parse_part,
    reshard,
    split,
    subset,
)

USAGE = {
    "merge": "animatic dataset merge DATASET DATASET --out OUT",
    "split": "animatic dataset split DATASET train=0.98 validation=0.02",
    "subset": "animatic dataset subset DATASET --out OUT --where CONDITION",
    "reshard": "animatic dataset reshard DATASET --out OUT --shard-rows NUMBER",
}


@dataclass(frozen=True)
class DatasetOptions:
    """What the verb ``dataset`` was given.

    ``paths``: folders or URLs of datasets; of a split also parts, as ``into``; ``output``: of the result;
    ``keys``: a file with one key a line; ``minimum`` and ``maximum``: COLUMN=NUMBER; ``workers``: units at
    once on Ray, 0 for none.
    """

    action: str
    paths: tuple[str, ...]
    into: tuple[str, ...] = ()
    by: str = "source_id"
    output: str | None = None
    where: str | None = None
    keys: Path | None = None
    minimum: tuple[str, ...] = ()
    maximum: tuple[str, ...] = ()
    count: int | None = None
    seed: int = 0
    rename: str | None = None
    shard_rows: int | None = None
    shard_mb: float | None = None
    workers: int | None = None
    address: str | None = None

    def check(self) -> None:
        """Raise AnimaticError if paths are missing, or too many, or a value cannot be read."""
        if self.action == "split":
            for text in self.parts:
                parse_part(text)
        elif self.output is None:
            raise AnimaticError(f"name the result: --out, as in: {USAGE[self.action]}")
        if (self.action == "merge" and len(self.paths) < 2) or (
            self.action in ("subset", "reshard") and len(self.paths) > 1
        ):
            number = "at least two datasets" if self.action == "merge" else "one dataset"
            raise AnimaticError(f"{self.action} takes {number}, as in: {USAGE[self.action]}")
        self.conditions()

    @property
    def parts(self) -> tuple[str, ...]:
        """NAME=SHARE of each part of a split."""
        return (*self.into, *self.paths[1:])

    def conditions(self) -> Conditions:
        """Of a subset. Raises AnimaticError for a limit or a file that cannot be read."""
        return Conditions(
            where=self.where,
            keys=None if self.keys is None else _keys(self.keys),
            minimum=_limits("--min", self.minimum),
            maximum=_limits("--max", self.maximum),
            count=self.count,
            seed=self.seed,
        )


def make_datasets(
    options: DatasetOptions, on_progress: Callable[[int, int], None]
) -> Sequence[ReshapeReport]:
    """Merge, split, subset or reshard: one result, or one for each part.

    Raises:
        AnimaticError: options do not fit, a dataset cannot be read, or an output holds something else.
    """
    options.check()
    size = ShardSize(options.shard_rows, options.shard_mb)
    execution = Execution(size, options.workers or 0, options.address, on_progress)
    first, output = options.paths[0], options.output or ""
    if options.action == "merge":
        return [merge(output, options.paths, rename=options.rename, execution=execution)]
    if options.action == "split":
        parts = [parse_part(text) for text in options.parts]
        return split(
            first, parts, output=options.output, by=options.by, seed=options.seed, execution=execution
        )
    if options.action == "subset":
        return [subset(first, output, options.conditions(), execution=execution)]
    return [reshard(first, output, execution)]


def _keys(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnimaticError(
            f"the keys in {path} cannot be read ({error}): give one a line, in UTF-8"
        ) from error
    keys = frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise AnimaticError(f"{path} has no keys: give one a line")
    return keys


def _limits(option: str, texts: Sequence[str]) -> dict[str, float]:
    limits: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            limits[name] = float(number)
        except ValueError:
            limits[name] = float("nan")
        if not name or not abs(limits[name]) < float("inf"):
            raise AnimaticError(f"{option} {text[:80]!r}: give a column and a number, as in aesthetic=4.5")
    return limits
