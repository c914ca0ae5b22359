"""The digest of what a run trains on, computed from a record of it."""

from collections.abc import Sequence

from core.canonical_json import digest_of
from models.bundle import TrainedOn


def clips_digest(data: TrainedOn) -> str:
    """Identifies the clips of one dataset: the dataset's own digest where all of them are trained on."""
    if not data["selection"]:
        return data["digest"]
    columns = [data["columns"]] if "columns" in data else []
    return digest_of([data["digest"], data["selection"], data["scores"], *columns])


def selected_digest(data: TrainedOn) -> str:
    """Identifies the clips of one dataset with what else is trained on.

    Their captions, unless each has the first one of its table, and their motion, if it is a condition.
    """
    beside: dict[str, object] = {}
    if "captions" in data:
        beside["captions"] = data["captions"]
    if "motion" in data:
        beside["motion"] = data["motion"]
    return digest_of([clips_digest(data), beside]) if beside else clips_digest(data)


def training_digest(datasets: Sequence[TrainedOn]) -> str:
    """Identifies the data of a run: of a mix, its datasets and their weights."""
    digests = [selected_digest(data) for data in datasets]
    return digests[0] if len(datasets) == 1 else digest_of([digests, [data["weights"] for data in datasets]])


def digests_before_takedowns(
    datasets: Sequence[TrainedOn], before: Sequence[Sequence[tuple[TrainedOn, str]]]
) -> dict[str, str]:
    """The digests that the data of a run had before takedowns, and the date of the one that ended each state.

    Args:
        datasets: as they are now.
        before: of each, its earlier records with the dates of the takedowns that ended them, oldest first.
    """
    found: dict[str, str] = {}
    for end in sorted({date for earlier in before for _, date in earlier}):
        state = [
            next((record for record, date in earlier if date >= end), now)
            for now, earlier in zip(datasets, before, strict=True)
        ]
        found.setdefault(training_digest(state), end)
    return found
