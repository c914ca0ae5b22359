"""The model card of an export: what the hub reads in its head, what people read below it."""

from __future__ import annotations

from core.licences import UNKNOWN
from models.bundle import Bundle, pipeline_tag
from orchestration.export.card import sections
from orchestration.export.card.facts import CardFacts
from orchestration.export.card.fields import CardFields
from orchestration.export.card.head import card_head
from orchestration.export.card.markdown import Markdown, code, paragraphs, render

_PAPER = "[DynamiCrafter](https://arxiv.org/abs/2310.12190)"
_DOES = {
    "image-to-video": "Animates a picture as a sentence says, with the method of",
    "text-to-video": "Makes clips of a sentence; the prior of",
    "text-to-image": "Makes pictures of a sentence; for",
}


def hub_card(bundle: Bundle, facts: CardFacts, fields: CardFields) -> str:
    """A model card in Markdown with a YAML head, as the Hugging Face hub accepts it.

    Equal arguments give equal text. Values are escaped: none of them becomes markup, and neither credentials
    nor local paths are in it.
    """
    graph, report, gate = facts.lineage, facts.report, facts.gate
    text = render(
        "card.md",
        facts=facts,
        summary=Markdown(f"{_DOES[pipeline_tag(bundle.info.architecture)]} {_PAPER}."),
        model=sections.model_table(bundle, facts),
        command=Markdown(sections.animate_command(facts.parts)),
        own_sampling=bundle.info.sampling is not None,
        sampling=sections.sampling_table(bundle),
        intended_use=paragraphs(fields.intended_use),
        out_of_scope=paragraphs(fields.out_of_scope),
        limitations=paragraphs(fields.limitations),
        training=sections.training_table(bundle),
        runs=sections.facts_table(graph, sections.RUNS),
        data=sections.facts_table(graph, sections.DATA),
        protocol=sections.protocol_text(report) if report else "",
        evaluation=sections.evaluation_table(report) if report else "",
        report_digest=code(report["digest"]) if report else "",
        gate=sections.gate_table(gate) if gate else "",
        gate_digest=code(gate.gate) if gate else "",
        ledger=code(facts.ledger) if facts.ledger else "",
        lineage=sections.nodes_table(graph, sections.REST),
        licence=sections.licence_table(fields.license, fields.license_name, fields.license_link),
        stated=fields.license != UNKNOWN,
        authors=", ".join(fields.authors) or "not stated",
        contact=fields.contact or "not stated",
        files=sections.files_table(facts),
    )
    return card_head(bundle, facts, fields) + text
