"""What a model's card says about a dataset that the model was trained on."""

from models.bundle import DatasetSummary
from pipelines.card.records import read_card
from pipelines.dataset import Dataset

_NAMED = 5


def summary_of(dataset: Dataset) -> DatasetSummary:
    """A dataset in a few words, from its card if that is of its present state."""
    card = read_card(dataset.folder)
    if card is not None and card["digest"] != dataset.digest:
        card = None
    stated = card["stated"] if card else {}
    hosts = [each["value"] for each in card["hosts"]["most"][:_NAMED]] if card else []
    return {
        "digest": dataset.digest,
        "samples": len(dataset),
        "hours": card["hours"] if card else None,
        "licence": stated.get("license_name") or stated.get("license", ""),
        "row_licences": [each["value"] for each in card["licences"]["most"][:_NAMED]] if card else [],
        "source": stated.get("source") or ", ".join(hosts),
        "filters": _filters(dataset),
        "link": stated.get("terms_url", ""),
    }


def _filters(dataset: Dataset) -> str:
    config = dataset.info["config"]
    filters = config.get("filters")
    named = filters if isinstance(filters, dict) else {}
    given = [f"{name}={value}" for name, value in named.items() if value is not None and value is not False]
    return ", ".join([*([f"where {config['where']}"] if config.get("where") else []), *given])
