"""The YAML head of a model card, as the Hugging Face hub reads it."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCardData

from models.bundle import LIBRARY, Bundle, card_tags, pipeline_tag
from orchestration.export.card.facts import CardFacts
from orchestration.export.card.fields import CardFields
from orchestration.export.card.markdown import public
from pipelines.evaluate import EvaluationReport, MetricValue
from pipelines.evaluate.page import own_columns, title


def card_head(bundle: Bundle, facts: CardFacts, fields: CardFields) -> str:
    """The head with its lines of dashes; ``model-index`` has the evaluation's figures."""
    info = bundle.info
    task = pipeline_tag(info.architecture)
    results = [] if facts.report is None else _results(facts.report, task)
    data = ModelCardData(
        base_model=list(fields.base_model) or None,
        datasets=list(fields.datasets) or None,
        eval_results=results or None,
        language=list(fields.language) or None,
        library_name=LIBRARY,
        license=fields.license,
        license_name=fields.license_name or None,
        license_link=fields.license_link,
        model_name=public(facts.name) if results else None,
        pipeline_tag=task,
        tags=[*card_tags(info.preset), *fields.tags],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _results(report: EvaluationReport, task: str) -> list[EvalResult]:
    protocol = report["protocol"]
    used = ("n", "frames", "height", "width", "stride", "seed", "condition", "prompts")
    return [
        EvalResult(
            task_type=task,
            dataset_type=protocol["name"],
            dataset_name=f"{protocol['name']}, {protocol['n']} clips",
            dataset_revision=protocol["data"],
            dataset_args={name: _public(value) for name, value in protocol.items() if name in used},
            metric_type=name,
            metric_name=title(name),
            metric_value=report["metrics"][name]["value"],
            metric_args=_circumstances(report["metrics"][name]),
        )
        for name in own_columns([report])
    ]


def _public(value: object) -> object:
    return public(value) if isinstance(value, str) else value


def _circumstances(value: MetricValue) -> dict[str, object]:
    """The 95 % interval, and what the value is of; without what the interval does not exist for."""
    found: dict[str, object] = {"unit": value["unit"], "n": value["n"], "better": value["better"]}
    if value["low"] is not None and value["high"] is not None:
        found["interval_95"] = [value["low"], value["high"]]
    return {**found, "version": value["version"]}
