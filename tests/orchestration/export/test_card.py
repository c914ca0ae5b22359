"""The model card is one that a hub accepts, states what is known, and lets no value become markup."""

import re

import pytest
import torch
import typer
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from core.errors import AnimaticError
from models.bundle import BundleOrigin, open_bundle, write_bundle
from orchestration.cli import app
from orchestration.export.card import CardFacts, CardFields, CardFile, hub_card, read_card_fields
from orchestration.lineage import Edge, Fact, LineageGraph, Node
from orchestration.registry import CheckRecord, GateRecord
from pipelines.evaluate import EvaluationReport, MetricValue
from tests.support.evaluations import system_of
from tests.support.paths import ROOT
from tests.support.small_animator import small_architecture

HOSTILE = "a|b <script>alert(1)</script> [x](http://evil) `c` *d* ![p](q)\n# e & $f$ |"
SECRETS = ("hunter2", "tok3n", "/home/ann", "/mnt/disk")
MARKUP = MarkdownIt("commonmark", {"html": True}).enable("table")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    origin = BundleOrigin(
        architecture=small_architecture(),
        stage=3,
        preset="tiny",
        config_hash="7" * 64,
        dataset_digest="2" * 64,
        parent="8" * 64,
        extra={"steps": 300, "seed": 1, "ema": 0.99},
    )
    weights = {"model.diffusion_model.out.2.bias": torch.zeros(4), "betas": torch.zeros(10)}
    write_bundle(folder, weights, origin, model_card="# small\n")
    return open_bundle(folder)


def value(number: float, **changes) -> MetricValue:
    found = {
        "value": number,
        "low": number - 1,
        "high": number + 1,
        "n": 12,
        "unit": "dB",
        "better": "higher",
    }
    return {**found, "version": "1", "details": {}, **changes}


def report(**protocol) -> EvaluationReport:
    return {
        "format": 2,
        "protocol": {
            "name": "held-out",
            "data": "d" * 64,
            "clips": "c" * 64,
            "n": 12,
            "frames": 8,
            "height": 64,
            "width": 64,
            "stride": 3,
            "seed": 0,
            "condition": "first",
            "prompts": "the clip's caption",
            "missing": {},
            **protocol,
        },
        "system": system_of(),
        "metrics": {
            "first_frame_psnr": value(21.5),
            "fvd": value(812.25, low=None, high=None, unit="1", better="lower"),
            "dynamic_degree": value(
                0.5, low=0.25, high=0.75, unit="1", details={"interval": "wilson-by-source"}
            ),
            "dynamic_degree_on_real": value(1.0, unit="1", details={"interval": "wilson-by-source"}),
        },
        "clips": [],
        "frozen": ["k1"],
        "black": [],
        "digest": "e" * 64,
    }


def gate(outcome="PASS", text="fine") -> GateRecord:
    check = CheckRecord(kind="margin", name="first_frame_psnr", outcome=outcome, text=text)
    return GateRecord(outcome=outcome, gate="a" * 64, gate_name="tiny", report="e" * 64, checks=(check,))


def graph(bundle_id: str, text: str = "as usual") -> LineageGraph:
    nodes = (
        Node("t", "source_table", f"table {text}", "1" * 64, "unreachable", "why", "/home/ann/t.csv"),
        Node("d", "dataset", "dataset clips", "2" * 64, "verified", facts=(Fact("clips", "1,234"),)),
        Node("r", "run", "stage 3", "3" * 64, "verified", facts=(Fact("lock", "4" * 64), Fact("from", text))),
        Node("b", "bundle", "stage 3", bundle_id, "verified"),
        Node("p", "promotion", "champion", "9" * 64, "verified", facts=(Fact("by", "carol"),)),
    )
    edges = (Edge("t", "d", "ingested"), Edge("d", "r", "trained on"), Edge("r", "b", "made"))
    return LineageGraph(bundle_id, nodes, edges)


def complete(bundle, text="as usual", **changes) -> str:
    found = {
        "name": "animatic-tiny",
        "formats": ("bundle", "diffusers"),
        "files": (CardFile("bundle/model.safetensors", 1234567, "5" * 64),),
        "lineage": graph(bundle.id, text),
        "report": report(prompts=text),
        "gate": gate(text=text),
        "ledger": "6" * 64,
    }
    fields = CardFields(
        license="CC-BY-NC-4.0",
        language="en",
        authors=["Ann", text],
        contact=text,
        intended_use=f"Demos.\n\n* {text}",
        tags="clips",
        datasets="team/clips",
    )
    return hub_card(bundle, CardFacts(**{**found, **changes}), fields)


def test_the_hubs_own_parser_reads_the_head_and_finds_every_figure(bundle):
    card = complete(bundle)
    read = ModelCard(card)
    head = yaml.safe_load(card.split("---\n")[1])
    assert read.data.to_dict() == head
    assert (head["license"], head["language"], head["datasets"]) == ("cc-by-nc-4.0", ["en"], ["team/clips"])
    assert (head["library_name"], head["pipeline_tag"]) == ("animatic", "image-to-video")
    assert {"animatic", "dynamicrafter", "clips"} <= set(head["tags"])
    results = {result.metric_type: result for result in read.data.eval_results}
    assert set(results) == {"first_frame_psnr", "fvd", "dynamic_degree"}
    psnr = results["first_frame_psnr"]
    assert (psnr.metric_value, psnr.metric_args["interval_95"]) == (21.5, [20.5, 22.5])
    assert (psnr.metric_args["unit"], psnr.metric_args["n"], psnr.dataset_revision) == ("dB", 12, "d" * 64)
    assert (psnr.dataset_args["frames"], psnr.dataset_args["stride"]) == (8, 3)
    assert "interval_95" not in results["fvd"].metric_args


def test_the_text_states_what_is_known(bundle):
    card = complete(bundle)
    for known in (
        bundle.id,
        "12 clips of held-out, 8 frames of 64x64 at stride 3, seed 0",
        "1 do not move and 0 are black",
        "| Parameters of the network | 4 |",
        "| First frame PSNR ↑ | 21.5 | 20.5 to 22.5 | dB | 12 |  |",
        "| Dynamic degree ↑ | 50 % | 25 to 75 % |  | 12 | 100 % |",
        "| FVD ↓ | 812 | no interval |",
        "**PASS**",
        "| margin: first\\_frame\\_psnr | PASS | as usual |",
        "clips: 1,234",
        f"lock: {'4' * 64}",
        "| Steps | 300 |",
        f"| `bundle/model.safetensors` | 1,234,567 | `{'5' * 64}` |",
        "`cc-by-nc-4.0`",
        "Not stated.",
    ):
        assert known in card, known
    assert "promotion: champion | `9999" in card and "carol" not in card
    assert complete(bundle) == card


def test_nothing_known_is_said_to_be_unknown(bundle):
    card = hub_card(bundle, CardFacts("m"), CardFields())
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "unknown"
    for unknown in (
        "No report of this bundle",
        "general ones",
        "No gate judged",
        "Not recorded.",
        "No licence was stated",
        "not stated",
    ):
        assert unknown in card
    assert ModelCard(card).data.eval_results is None


def test_a_forced_promotion_is_named_at_the_top(bundle):
    card = complete(bundle, gate=gate("FAIL", "too low"), forced="the demo | is today")
    assert "Promoted without its gate's consent.** Reason: the demo \\| is today" in card.split("## Use")[0]
    assert "**FAIL**" in card
    alone = hub_card(bundle, CardFacts("m", forced="published weights"), CardFields())
    assert "it was promoted by force" in alone


def test_no_value_becomes_markup(bundle):
    card = complete(bundle, HOSTILE, name=HOSTILE, forced=HOSTILE)
    assert yaml.safe_load(card.split("---\n")[1])
    body = card.split("---\n", 2)[2]
    kinds, links = set(), set()
    for token in MARKUP.parse(body):
        for inner in (token, *(token.children or ())):
            kinds.add(inner.type)
            if inner.type == "link_open":
                links.add(inner.attrs["href"])
    assert not kinds & {"html_block", "html_inline", "image"}
    # What the author of the fields writes may contain links.
    assert links <= {"https://arxiv.org/abs/2310.12190", "http://evil", "q"}
    headings = re.findall(r"^#+ .*", body, re.M)
    assert not any(line.strip() == "# e" for line in headings)
    for rows in re.findall(r"(?:^\|.*\n)+", body, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}) == 1
    assert "alert(1)" in MARKUP.render(body) and "<script" not in MARKUP.render(body)


def test_neither_paths_nor_credentials_are_in_it(bundle):
    text = (
        "see /home/ann/clips/t.csv, ~/x/hunter2/y, file:///mnt/disk/a and s3://key:hunter2@bucket/d, "
        "https://host/v.mp4?token=tok3n; and/or 3/4"
    )
    card = complete(bundle, text, name=text, forced=text)
    assert not [secret for secret in SECRETS if secret in card]
    assert "t.csv" in card and "and/or 3/4" in card and "s3://bucket/d" in card


@pytest.mark.parametrize("parts", [{}, {"codec": "codec", "encoders": "encoders/clip.bin"}])
def test_the_printed_command_is_one_that_the_program_takes(bundle, tmp_path, monkeypatch, parts):
    import shlex

    card = complete(bundle, parts=parts)
    line = re.search(r"^animatic (.*)$", card, re.M)
    verb, *arguments = shlex.split(line[1])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").touch()
    command = typer.main.get_command(app)
    with typer.Context(command) as context:
        parsed = command.get_command(context, verb).make_context(verb, arguments, parent=context)
    assert parsed.params["bundle"] == "./bundle"
    assert {name: parsed.params[name] for name in parts} == parts


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("licence: mit", "unknown configuration key 'licence': did you mean 'license'"),
        ("license: apache-2", "did you mean 'apache-2.0'"),
        ("license: other", "license: other needs license_name and license_link"),
        ("license: mit\nlicense_name: ours", "set it to other"),
        ("license: other\nlicense_name: ours\nlicense_link: LICENSE", "license_link: this is no http"),
        ("license: other\nlicense_name: a\nlicense_link: https://u:hunter2@h/l", "contains a password"),
        ("language: english", "language.0: this is no ISO 639 code"),
        ("language: no", "language: Input should be"),
        ("datasets: [a b]", "datasets.0: this is no id"),
        ("tags: 'a, b'", "tags.0: a tag is"),
        ("authors: {a: b}", "authors"),
        ("- a", "must contain sections of keys"),
    ],
)
def test_a_file_of_fields_that_no_card_has_is_refused_by_name(tmp_path, content, problem):
    path = tmp_path / "card.yaml"
    path.write_text(content)
    with pytest.raises(AnimaticError) as caught:
        read_card_fields(path)
    message = str(caught.value)
    assert problem in message and str(path) in message and "\n" not in message and "hunter2" not in message


def test_the_documents_name_every_field_and_their_example_is_one(tmp_path):
    section = (ROOT / "docs" / "registry.md").read_text().split("### The model card")[1].split("\n## ")[0]
    path = tmp_path / "card.yaml"
    path.write_text(section.split("```yaml\n")[1].split("```")[0])
    assert read_card_fields(path).license == "cc-by-nc-4.0"
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(CardFields.model_fields)
