"""Which rows of a unit's manifest are copied, and what becomes of them: the same to planner and worker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.dataset.records import RowOutcome, SampleRow, UnitManifest
from pipelines.dataset.takedowns import hash_of_id, taken_down_outcome


@dataclass(frozen=True)
class Rules:
    """What becomes of rows that no sample is copied of.

    Attributes:
        rejected: whether rows that were rejected go into the result; rows whose samples are all left out
            never do.
        taken_down: sha256 of the ids of videos that must not be in the result.
    """

    rejected: bool
    taken_down: frozenset[str]

    def forbids(self, outcome: RowOutcome) -> bool:
        """Whether a row's video was taken down."""
        return (
            bool(self.taken_down)
            and bool(outcome["source_id"])
            and hash_of_id(outcome["source_id"]) in self.taken_down
        )

    def result(self, outcome: RowOutcome, samples: int, number: int) -> RowOutcome | None:
        """The outcome of a row of which ``samples`` are copied, as row ``number``; None leaves it out."""
        if self.forbids(outcome):
            digest = hash_of_id(outcome["source_id"])
            return taken_down_outcome(number, digest) if self.rejected else None
        if samples:
            return {**outcome, "row": number, "samples": samples}
        if outcome["samples"] or not self.rejected:
            return None
        return {**outcome, "row": number}


def rows_with_samples(manifest: UnitManifest) -> Iterator[tuple[RowOutcome, list[SampleRow]]]:
    """Rows of a unit in order, each with its samples."""
    start = 0
    for outcome in manifest["rows"]:
        end = start + outcome["samples"]
        yield outcome, manifest["samples"][start:end]
        start = end


def copied_rows(
    manifest: UnitManifest, rules: Rules, kept: Sequence[bool], first: int
) -> Iterator[tuple[RowOutcome, list[SampleRow]]]:
    """Rows of the result that come from a unit, numbered from ``first``, each with its copied samples.

    ``kept``: of each sample of the unit, whether it is copied.
    """
    number, position = first, 0
    for outcome, samples in rows_with_samples(manifest):
        chosen = [row for row, keep in zip(samples, kept[position:], strict=False) if keep]
        position += len(samples)
        if rules.forbids(outcome):
            chosen = []
        result = rules.result(outcome, len(chosen), number)
        if result is not None:
            number += 1
            yield result, chosen
