"""Nodes of bundles, and of what wrote them: runs, checkpoints, published files."""

from __future__ import annotations

from models.bundle import BundleInfo, ImportedFile
from orchestration.lineage.ancestors import FoundBundle
from orchestration.lineage.looking import Check
from orchestration.lineage.records import Fact, Node
from orchestration.lineage.run_facts import bundle_run_facts, run_facts
from orchestration.lineage.runs import RecordedRun, RunInputs, check_checkpoint
from orchestration.workspace import display_path
from training.stages import STAGES

_SHORT = 12


def bundle_node(found: FoundBundle) -> Node:
    """A bundle, whose files were compared with its description."""
    if found.damage:
        check = Check("changed", found.damage)
    elif found.folder is None:
        check = Check("missing", found.absence or "it is in none of the folders that it was in")
    else:
        check = Check("verified", "all of its bytes were read")
    info = found.info
    return Node(
        f"bundle:{found.id}",
        "bundle",
        f"bundle of stage {info.stage}, {info.preset}" if info else "bundle",
        found.id,
        check.state,
        check.reason,
        display_path(found.folder) if found.folder else None,
        _bundle_facts(info) if info else (),
    )


def published_node(source: ImportedFile) -> Node:
    """The published checkpoint that a bundle was imported from."""
    return Node(
        f"checkpoint:{source['sha256']}",
        "checkpoint",
        f"published checkpoint {source['name']}",
        source["sha256"],
        "not_checked",
        "the file that was imported is not kept",
        facts=(Fact("format", source["format"]),),
    )


def run_node(inputs: RunInputs, run: RecordedRun | None, info: BundleInfo | None, *, deep: bool) -> Node:
    """A run; ``info``: of its bundle, which records the most important settings if its folder is gone."""
    if run is None:
        facts = bundle_run_facts(info) if info else ()
        check = Check("missing", "its folder is not in the workspace")
    else:
        facts, changed = run_facts(run, deep=deep)
        check = run.check(inputs)
        if changed and check.state == "verified":
            check = changed[0]
    return Node(
        inputs.key,
        "run",
        _run_title(run, info),
        inputs.config_hash,
        check.state,
        check.reason,
        display_path(run.folder.path) if run else None,
        facts,
    )


def continued_node(
    digest: str, writer: RecordedRun | None, path: str | None, info: BundleInfo | None, *, deep: bool
) -> Node:
    """The checkpoint of another run that a run continued; ``info``: of the bundle of the latter."""
    continued = info.extra.get("continued") if info else None
    where: str | None
    saved = [each for each in writer.checkpoints if each.digest == digest] if writer else []
    if saved:
        check = check_checkpoint(saved[0], deep=deep)
        title, where = f"checkpoint after step {saved[0].step:,}", display_path(saved[0].folder)
    else:
        check = Check("missing", "no run of the workspace records that it wrote it")
        title, where = f"checkpoint after step {continued['step']:,}" if continued else "checkpoint", path
    return Node(
        f"checkpoint:{digest}",
        "checkpoint",
        title,
        digest,
        check.state,
        check.reason,
        where,
    )


def _run_title(run: RecordedRun | None, info: BundleInfo | None) -> str:
    """Stage and preset, by the bundle or else by the journal."""
    stage = info.stage if info else run.start.get("stage") if run else None
    preset = info.preset if info else run.start.get("preset") if run else None
    name = STAGES[stage].name if isinstance(stage, int) and stage in STAGES else ""
    return f"run of stage {stage}{f' ({name})' if name else ''}, {preset}"


def _bundle_facts(info: BundleInfo) -> tuple[Fact, ...]:
    facts = [
        Fact("stage", str(info.stage)),
        Fact("preset", info.preset),
        Fact("code", info.code_version),
        Fact("weights", info.files[info.weights_file][:_SHORT]),
    ]
    if info.extra.get("ema") is not None:
        facts.append(Fact("averaged", f"decay {info.extra['ema']}"))
    if "run" in info.extra:
        facts.append(Fact("copy of", info.extra["run"][:_SHORT]))
    if "variant" in info.extra:
        facts.append(Fact("variant", info.extra["variant"]))
    return tuple(facts)
