"""The digest of what a run trains on, computed from a record of it."""

from collections.abc import Sequence

from core.canonical_json import digest_of
from models.bundle import TrainedOn


def selected_digest(data: TrainedOn) -> str:
    """Identifies the clips of one dataset: the dataset's own digest where all of them are trained on."""
    if not data["selection"]:
        return data["digest"]
    return digest_of([data["digest"], data["selection"], data["scores"]])


def training_digest(datasets: Sequence[TrainedOn]) -> str:
    """Identifies the data of a run: of a mix, its datasets and their weights."""
    digests = [selected_digest(data) for data in datasets]
    return digests[0] if len(datasets) == 1 else digest_of([digests, [data["weights"] for data in datasets]])
