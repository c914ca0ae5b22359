"""A key of ``--json`` has one meaning in all verbs, that of the table in docs/operations.md."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import open_bundle
from orchestration.workspace import Workspace
from pipelines.caption import CaptionReport
from pipelines.evaluate.records import EvaluationReport
from pipelines.evaluate.study import StudyResult
from pipelines.ingest import IngestReport
from pipelines.score import ScoreReport
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.promotions import GATE, evaluated, report_for, store
from tests.support.small_stages import make_bundle, small_sets

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
SETS = [part for text in small_sets(3) for part in ("--set", text)]
COMMANDS = (
    "promote first --gate gate.yaml",
    "promote second --gate gate.yaml",
    "gate report.json --gate gate.yaml",
    "compare report.json report.json",
    "rollback",
    "registry",
    "registry verify",
    "registry log champion",
    "registry record-deployment champion --at http://127.0.0.1:1",
    "promote second --to challenger",
    "lineage",
    "withdraw challenger --reason broken --force",
    "takedown data --source-id 0 --dry-run",
    "export champion --to serving",
    "exports serving",
    "dataset card data",
    "dataset split data train=0.5 rest=rest",
    "verify data",
    "inspect data --clips 0",
    "inspect data --batch --preset tiny --set data.sampling.stride=[1,1]",
    "encode data --to latents --preset tiny --workers 0",
    "train --stage 3 --preset tiny --print-config",
    "train --stage 3 --preset tiny --print-initialisation --set init.base=first --set init.parent=first",
    "animate still.png ball --steps 1",
    "api-key create service --keys keys.json",
    "api-key list --keys keys.json",
    "metric frechet features.npy features.npy",
    "metric kernel features.npy features.npy",
    "doctor",
)


def documented() -> set[str]:
    """The keys in the table of the page."""
    section = OPERATIONS.read_text().partition("### JSON")[2].partition("\n#")[0]
    return {key for row in re.findall(r"^\| (`.*?) \|", section, re.M) for key in re.findall(r"`(\w+)`", row)}


def add_types(found: dict[str, set[str]], content: dict[str, object]) -> None:
    for key, value in content.items():
        kind = "number" if isinstance(value, (int, float)) else type(value).__name__
        found.setdefault(key, set()).update(set() if value is None else {kind})


@pytest.fixture
def printed(here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """The JSON of each command."""
    monkeypatch.setattr("orchestration.registry.mirror_change", lambda *_: None)
    build_dataset(here / "data", [40] * 4)
    for seed, name in enumerate(("first", "second")):
        make_bundle(here / name, seed=seed)
        evaluated(open_bundle(here / name), Workspace(here / "runs"))
    report = store(report_for("a" * 64, preset="tiny"), here / "report.json")
    assert report.exists()
    (here / "gate.yaml").write_text(GATE)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("still.png")
    np.save("features.npy", np.eye(4))
    results = {}
    for command in COMMANDS:
        sets = SETS if "--preset tiny" in command else []
        result = run(*command.split(), *sets, "--json")
        assert result.exit_code == 0, (command, result.output)
        results[command] = json.loads(result.stdout)
    return results


def test_every_key_has_one_kind_of_value_and_is_documented(printed: dict[str, dict[str, object]]) -> None:
    found: dict[str, set[str]] = {}
    for content in printed.values():
        add_types(found, content)
    assert {key: kinds for key, kinds in found.items() if len(kinds) > 1} == {}
    keys = found.keys() | EvaluationReport.__annotations__.keys() | StudyResult.__annotations__.keys()
    assert keys - documented() == set()
    for report in (IngestReport, ScoreReport, CaptionReport):
        assert report.__annotations__.keys() - documented() == set()
    bundles = [content for content in printed.values() if "bundle_id" in content]
    assert len(bundles) == 9
    assert {"bundle_id", "bundle_path"} <= printed["lineage"]["lineage"][0].keys()  # type: ignore[index]
    assert printed["registry"]["head"] == printed["rollback"]["hash"]
