"""The generated part of docs/configuration.md: every key of every configuration class.

``python -m orchestration.config_reference`` brings the document up to date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from core.config.reference import sections, tables
from orchestration.serving.settings import ServingSettings
from pipelines.caption import CaptionConfig
from pipelines.encode import EncodeConfig
from pipelines.evaluate import EvaluateConfig
from pipelines.ingest import IngestConfig
from pipelines.score import ScoreConfig
from pipelines.similar import SimilarConfig
from training.config import RunConfig

DOCUMENT = Path(__file__).parents[1] / "docs" / "configuration.md"
_MARK = "<!-- generated below this line: make config-reference -->\n"


@dataclass(frozen=True)
class Configuration:
    """A configuration class in the document: ``name`` heads the table of the keys outside sections."""

    name: str
    model: type[BaseModel]
    title: str
    usage: str


CONFIGURATIONS = (
    Configuration("run", RunConfig, "Training", "Presets, YAML files and `animatic train --set KEY=VALUE`."),
    Configuration("ingest", IngestConfig, "Ingest", "`animatic ingest --set KEY=VALUE`."),
    Configuration(
        "encode", EncodeConfig, "Encode", "Options of `animatic encode`; size and codec are a preset's."
    ),
    Configuration("score", ScoreConfig, "Score", "Options of `animatic score`."),
    Configuration("caption", CaptionConfig, "Caption", "Options of `animatic caption`."),
    Configuration("similar", SimilarConfig, "Similar", "Options of `animatic similar`."),
    Configuration("evaluate", EvaluateConfig, "Evaluate", "Options of `animatic evaluate`."),
    Configuration("serve", ServingSettings, "Serve", "YAML files and `animatic serve --set KEY=VALUE`."),
)


def reference() -> str:
    """A chapter for each of ``CONFIGURATIONS``, in Markdown."""
    run = {section.model: section.name for section in sections(RunConfig) if section.name}
    return "\n".join(_chapter(each, {} if each.model is RunConfig else run) for each in CONFIGURATIONS)


def update(document: Path = DOCUMENT) -> None:
    """Replace the generated part of the document."""
    prose = document.read_text().partition(_MARK)[0]
    document.write_text(f"{prose}{_MARK}\n{reference()}")


def _chapter(configuration: Configuration, documented: Mapping[type[BaseModel], str]) -> str:
    body = tables(configuration.model, configuration.name, documented)
    return f"## {configuration.title}: all keys\n\n{configuration.usage}\n\n{body}\n"


if __name__ == "__main__":
    update()
