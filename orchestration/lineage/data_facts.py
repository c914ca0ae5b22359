"""What is displayed of datasets, latents and mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.bundle import TrainedCaptions, TrainedOn
from orchestration.lineage.records import Fact
from pipelines.card import Card
from pipelines.dataset.latent_records import LatentsRecord
from pipelines.dataset.records import DatasetRecord

_SHORT = 12
_NAMED = 5  # of the most frequent values


def dataset_facts(record: DatasetRecord) -> tuple[Fact, ...]:
    """Counts, filters and takedowns of a dataset."""
    counts, config, shards = record["counts"], record["config"], record["shards"]
    rejected = "; ".join(f"{reason} {n:,}" for reason, n in sorted(counts["reasons"].items(), key=_by_count))
    facts = [
        Fact("rows", f"{counts['rows']:,}"),
        Fact("clips", f"{counts['samples']:,}"),
        Fact("rejected", f"{counts['rejected_rows']:,}" + (f" ({rejected})" if rejected else "")),
        Fact("shards", f"{len(shards):,}, {sum(shard['bytes'] for shard in shards):,} bytes"),
    ]
    filters = config.get("filters")
    settings = _given(filters if isinstance(filters, dict) else {})
    if config.get("where"):
        settings = [f"where {config['where']}", *settings]
    if config.get("kind") != "images":
        facts.append(Fact("filters", ", ".join(settings) or "none"))
    taken = [
        f"{each['samples']:,} clips on {each['date'][:10]} ({each['reason'] or 'no reason given'})"
        for each in record.get("history", [])
    ]
    if taken:
        facts.append(Fact("taken down", "; ".join(taken)))
    return tuple(facts)


def card_facts(card: Card | None, digest: str) -> tuple[Fact, ...]:
    """Hours, licence and source as the dataset's card states them, if it is of this digest."""
    if card is None or card["digest"] != digest:
        return ()
    stated = card["stated"]
    named = {
        "hours": f"{card['hours']:,.2f}",
        "licence": stated.get("license_name") or stated.get("license"),
        "licences of rows": ", ".join(each["value"] for each in card["licences"]["most"][:_NAMED]),
        "source": stated.get("source") or ", ".join(each["value"] for each in card["hosts"]["most"][:_NAMED]),
        "terms": stated.get("terms_url"),
    }
    return tuple(Fact(label, text) for label, text in named.items() if text)


def latent_facts(record: LatentsRecord) -> tuple[Fact, ...]:
    """Counts and codec of latents."""
    config, counts = record["config"], record["counts"]
    return (
        Fact("codec", str(config["codec"])[:_SHORT]),
        Fact("text tower", str(config["text"])[:_SHORT] if config["text"] else "no text features"),
        Fact("frames of", f"{config['height']} x {config['width']} pixels"),
        Fact("encoded", f"{counts['encoded']:,} of {counts['samples']:,} clips"),
    )


def mixture_facts(records: Sequence[TrainedOn]) -> tuple[Fact, ...]:
    """Weight and selection of each dataset."""
    return tuple(Fact(f"dataset {n}", _mixed(record)) for n, record in enumerate(records, start=1))


def selection_text(record: TrainedOn) -> str:
    """Which clips of a dataset a mix takes, and how often, for an edge."""
    weights = [weight for _, weight in record["weights"]]
    weight = f"weight {' → '.join(f'{weight:g}' for weight in weights)}"
    return f"{weight}, selected" if record["selection"] else weight


def _mixed(record: TrainedOn) -> str:
    weights = [f"{weight:g}" + (f" from step {step:,}" if step else "") for step, weight in record["weights"]]
    selection = ", ".join(_given(record["selection"])) or "all clips"
    parts = [record["digest"][:_SHORT], f"weight {', '.join(weights)}", selection]
    if "captions" in record:
        parts.append(f"captions {_sources(record['captions'])}")
    return ", ".join(parts)


def _sources(captions: TrainedCaptions) -> str:
    names = captions["setting"]["sources"]
    return " or ".join(map(str, names)) if isinstance(names, list) else str(names)


def _given(settings: Mapping[str, object]) -> list[str]:
    """Settings that are not at their default, which is null, false or empty for all of these."""
    given: list[str] = []
    for name, value in settings.items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            given += [f"{words} {column} {limit}" for column, limit in value.items()]
        elif value is not None and value is not False:
            given.append(words if value is True else f"{words} {value}")
    return given


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
