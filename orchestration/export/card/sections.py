"""The tables of a model card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from models.bundle import Bundle
from orchestration.export.card.facts import CardFacts
from orchestration.export.card.markdown import Markdown, code, plain, table
from orchestration.lineage import LineageGraph, Node, NodeKind
from orchestration.registry import GateRecord
from pipelines.evaluate import EvaluationReport
from pipelines.evaluate.page import ARROWS, interval, is_share, number, on_real, own_columns, title, unit

_SHORT = 16  # digits of a digest in a table; those of files are whole
DATA: tuple[NodeKind, ...] = ("source_table", "dataset", "mixture", "latents")
RUNS: tuple[NodeKind, ...] = ("run",)
REST: tuple[NodeKind, ...] = ("bundle", "report", "gate", "promotion", "alias", "export", "deployment")


def model_table(bundle: Bundle, facts: CardFacts) -> Markdown:
    """What the model is."""
    model, info = bundle.info.architecture, bundle.info
    parameters = sum(math.prod(shape) for shape in bundle.shapes().values())
    predicts = "noise" if model.diffusion.parameterization == "eps" else "v"
    terminal = ", zero terminal SNR" if model.diffusion.zero_terminal_snr else ""
    rows: list[tuple[str, object]] = [
        ("Clip", f"{model.frames} frames of {model.height}x{model.width} pixels"),
        ("Parameters of the network", f"{parameters:,}"),
        ("Predicts", f"{predicts}, {model.diffusion.timesteps} steps{terminal}"),
        ("Stage, preset", f"{info.stage}, {info.preset}"),
        ("Formats", ", ".join(facts.formats)),
        ("Bundle", code(bundle.id)),
    ]
    return table(("", ""), rows)


def sampling_table(bundle: Bundle) -> Markdown:
    """Settings to sample with."""
    settings = bundle.info.sampling_defaults
    described = type(settings).model_fields
    rows = [
        (code(name), "none" if value is None else value, described[name].description or "")
        for name, value in settings.model_dump(mode="json").items()
    ]
    return table(("setting", "default", "meaning"), rows)


def training_table(bundle: Bundle) -> Markdown:
    """The run that made the bundle, as the bundle records it."""
    info, extra = bundle.info, bundle.info.extra
    source = extra.get("source")
    decay = extra.get("ema")
    rows: list[tuple[str, object]] = [
        ("Imported from", f"{source['name']}, sha256 {source['sha256']}" if source else None),
        ("Steps", f"{extra['steps']:,}" if "steps" in extra else None),
        ("Seed", extra.get("seed")),
        ("Weights", f"average with decay {decay}" if decay else None),
        ("Config hash", code(info.config_hash) if info.config_hash else None),
        ("Code version", info.code_version),
        ("Data digest", code(info.dataset_digest) if info.dataset_digest else None),
        ("Parent bundle", code(info.parent) if info.parent else None),
        ("Base bundle", code(extra["base"]) if extra.get("base") else None),
    ]
    return table(("", ""), [row for row in rows if row[1] is not None])


def facts_table(graph: LineageGraph | None, kinds: Iterable[NodeKind]) -> Markdown:
    """Nodes of a lineage with all that is known of them; one line of text where there are none."""
    rows = [
        (
            *_title_and_digest(node),
            "; ".join(f"{fact.label}: {fact.text}" for fact in node.facts),
            _state(node),
        )
        for node in _nodes(graph, kinds)
    ]
    return table(("what", "digest", "facts", "state"), rows) if rows else plain("Not recorded.")


def nodes_table(graph: LineageGraph | None, kinds: Iterable[NodeKind]) -> Markdown:
    """Nodes of a lineage without facts, which name people; one line of text where there are none."""
    rows = [(*_title_and_digest(node), _state(node)) for node in _nodes(graph, kinds)]
    return table(("what", "digest", "state"), rows) if rows else plain("Not recorded.")


def evaluation_table(report: EvaluationReport) -> Markdown:
    """Figures with their intervals, beside those of the real clips."""
    rows = []
    for name in own_columns([report]):
        value, real = report["metrics"][name], on_real(report, name)
        rows.append(
            (
                f"{title(name)} {ARROWS[value['better']]}".strip(),
                number(value["value"], is_share(value)),
                interval(value),
                unit(value),
                value["n"],
                "" if real is None else number(real["value"], is_share(real)),
            )
        )
    return table(("metric", "value", "95 % interval", "unit", "clips", "real clips"), rows)


def protocol_text(report: EvaluationReport) -> str:
    """How the figures were measured, one sentence."""
    protocol = report["protocol"]
    return (
        f"{protocol['n']} clips of {protocol['name']}, {protocol['frames']} frames of "
        f"{protocol['height']}x{protocol['width']} at stride {protocol['stride']}, seed {protocol['seed']}, "
        f"the {protocol['condition']} frame as picture; prompts: {protocol['prompts']}. Of the generated "
        f"clips, {len(report['frozen'])} do not move and {len(report['black'])} are black."
    )


def gate_table(gate: GateRecord) -> Markdown:
    """The decision, check by check."""
    return table(
        ("check", "outcome", "why"),
        [(f"{check.kind}: {check.name}", check.outcome, check.text) for check in gate.checks],
    )


def licence_table(licence: str, name: str, link: str | None) -> Markdown:
    """The licence as its identifier, name and text."""
    text = Markdown(f"<{link}>") if link else None
    rows: list[tuple[str, object]] = [("Licence", code(licence)), ("Name", name or None), ("Text", text)]
    return table(("", ""), [row for row in rows if row[1] is not None])


def files_table(facts: CardFacts) -> Markdown:
    """The files beside the card."""
    return table(
        ("file", "bytes", "sha256"),
        [(code(file.path), f"{file.size:,}", code(file.sha256)) for file in facts.files],
    )


def animate_command(parts: Mapping[str, str]) -> str:
    """The command that animates a picture with the bundle beside the card."""
    options = "".join(f" --{part} {path}" for part, path in sorted(parts.items()))
    return f'animatic animate picture.png "what should happen" --bundle ./bundle{options}'


def _nodes(graph: LineageGraph | None, kinds: Iterable[NodeKind]) -> list[Node]:
    return [] if graph is None else [node for kind in kinds for node in graph.of_kind(kind)]


def _title_and_digest(node: Node) -> tuple[str, Markdown]:
    kind = node.kind.replace("_", " ")
    title = node.title if kind in node.title else f"{kind}: {node.title}"
    return title, code(node.digest[:_SHORT]) if node.digest else Markdown()


def _state(node: Node) -> str:
    return node.state.replace("_", " ")
