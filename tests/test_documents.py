"""What documents ask readers to type exists: verbs, options, targets, variables, settings, Python names."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from core.config.reference import sections
from orchestration.cli import app
from orchestration.config_reference import CONFIGURATIONS
from pipelines.evaluate.gate import read_policy
from pipelines.ingest import IngestConfig
from tests.bench.__main__ import BENCHES
from tests.support.command import run
from tests.support.documents import DOCUMENTS, ELLIPSIS, Block, Command, blocks, commands
from tests.support.makefile import make, recording_folder
from tests.support.paths import ROOT
from training import events
from training.config import RunConfig, resolve

COMMANDS = [command for document in DOCUMENTS for command in commands(document)]
BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
# Targets of developers, which do not call the command.
TOOLS = {
    "setup",
    "lint",
    "lock",
    "test",
    "test-all",
    "infra-check",
    "coverage",
    "bench",
    "bench-gpu",
    "mutants",
    "config-reference",
    "dashboards",
    "image",
    "clean",
}
# Others have options for the tool that they call, in a variable with the target's name.
TOOL_VARIABLES = {"image": {"VARIANT", "BASE_IMAGE", "TAG", "DOCKER"}, "lock": {"UPGRADE"}}
FILES = (".safetensors", ".parquet", ".json", ".jsonl", ".yaml")
# Other verbs have a run's configuration.
CONFIGURED = {"ingest": IngestConfig, "retry": IngestConfig, "dataset": IngestConfig}


# Settings whose entries have names of their own: columns.
MAPPINGS = {"data.selection.min", "data.selection.max"}


def known(model: type[BaseModel]) -> set[str]:
    """Dotted names of all keys and sections."""
    found = set[str]()
    for section in sections(model):
        found |= {section.name, *(key for key, _ in section.keys)}
    return found


def group() -> TyperGroup:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def check(words: Iterable[str], whole: bool) -> None:
    """Verb, options and settings of a call of animatic exist; a ``whole`` call parses."""
    name, *arguments = words
    if name in ("--help", "VERB"):
        return
    verb = group().commands[name]
    options = {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in arguments if word.startswith("--") and word != "--"]
    assert [option for option in given if option not in {*options, "--help"}] == []
    if whole:
        verb.make_context(name, list(arguments))
    settings = [
        word.removeprefix("--set=")
        for before, word in zip(["", *arguments], arguments, strict=False)
        if before == "--set" or word.startswith("--set=")
    ]
    keys = known(CONFIGURED.get(name, RunConfig))
    assert [text for text in settings if not _names_key(text, keys)] == []


def _names_key(assignment: str, keys: set[str]) -> bool:
    key = assignment.partition("=")[0]
    return _is_known(key, keys) or key in ("key", "KEY") or ELLIPSIS in key


def _is_known(key: str, keys: set[str]) -> bool:
    return key in keys or key.rpartition(".")[0] in MAPPINGS & keys


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "animatic"], ids=str)
def test_calls_of_the_command_name_verbs_options_and_settings_that_exist(command: Command) -> None:
    if command.error:
        result = run(*command.words[1:])
        assert result.exit_code == 1
        assert result.stderr.strip() == command.error
    else:
        check(command.words[1:], whole=command.in_block and command.whole)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_folder(tmp_path_factory.mktemp("make"))


MADE = {command.words[1:]: command for command in COMMANDS if command.words[0] == "make"}


@pytest.mark.parametrize("command", MADE.values(), ids=str)
def test_calls_of_make_name_targets_and_variables_that_exist(command: Command, folder: Path) -> None:
    target, *variables = command.words[1:]
    assert target in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if target in TOOLS:
        _check_tool(target, variables)
        return
    done = make(folder, *command.words[1:])
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout), whole=command.in_block)


def _check_tool(target: str, variables: list[str]) -> None:
    if target in TOOL_VARIABLES:
        assert {variable.partition("=")[0] for variable in variables} <= TOOL_VARIABLES[target]
        return
    assert {variable.partition("=")[0] for variable in variables} <= {target.upper()}
    for variable in variables:
        chosen = shlex.split(variable.partition("=")[2])
        assert chosen[0] == "--only"
        assert chosen[1] in BENCHES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_that_are_mentioned_exist(document: Path) -> None:
    keys = known(RunConfig) | known(IngestConfig) | {name for c in CONFIGURATIONS for name in known(c.model)}
    heads = {key.partition(".")[0] for key in keys if "." in key}
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    mentioned = re.findall(r"`([A-Za-z_]+(?:(?:\[\])?\.[A-Za-z_]+)+)(?:[=:][^`]*)?`", text)
    settings = [key for key in mentioned if key.partition(".")[0] in heads and not key.endswith(FILES)]
    assert [key for key in settings if not _is_known(key, keys)] == []


def test_the_table_of_ingest_settings_names_settings_that_exist() -> None:
    table = (ROOT / "docs/data.md").read_text().split("## Settings")[1].split("### Clips")[0]
    rows = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    named = [key for row in rows for key in _expanded(re.findall(r"`([^`]+)`", row))]
    assert len(named) > 20
    assert [key for key in named if key not in known(IngestConfig)] == []


def _expanded(names: list[str]) -> Iterator[str]:
    """``.per_host`` after ``fetch.concurrency`` is ``fetch.per_host``; options are left out."""
    section = ""
    for name in names:
        if name.startswith("--") or ELLIPSIS in name:
            continue
        section = section if name.startswith(".") else name.rpartition(".")[0]
        yield section + name if name.startswith(".") else name


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml" and not b.other], ids=str)
def test_configuration_files_are_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(block.text)
    resolved = resolve(3, "512", files=[tmp_path / "my.yaml"]).model_dump(mode="json")
    assert _contains(resolved, yaml.safe_load(block.text))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.for_gate], ids=str)
def test_gates_are_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text(block.text)
    assert _contains(read_policy(tmp_path / "gate.yaml").model_dump(), yaml.safe_load(block.text))


def _contains(whole: object, part: object) -> bool:
    """Whether every value of ``part`` arrived."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(_contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(_contains, whole, part))
    return whole == part


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_imports_names_that_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                if not hasattr(module, name):
                    importlib.import_module(f"{node.module}.{name}")


def test_the_journal_s_events_are_listed_with_their_fields() -> None:
    table = (ROOT / "docs/training.md").read_text().split("| event | fields |")[1].split("\n\n")[0]
    listed = {
        event: re.findall(r"`(\w+)`", row.split(" | ", 1)[1] if " | " in row else "")
        for row in table.splitlines()[2:]
        for event in re.findall(r"`(\w+)`", row.split(" | ")[0])
    }
    classes = [each for each in vars(events).values() if isinstance(each, type) and hasattr(each, "event")]
    assert len(classes) > 5
    for each in classes:
        fields = {name for name in each.__annotations__ if name != "event"}
        assert fields <= set(listed[each.event]), each.event


def test_every_variable_of_the_environment_that_the_code_reads_is_listed() -> None:
    text = (ROOT / "docs/operations.md").read_text().split("## Environment")[1].split("\n## ")[0]
    listed = set(re.findall(r"`([A-Z][A-Z_a-z]+)`", text))
    read = {
        name
        for package in ("core", "models", "pipelines", "training", "orchestration")
        for path in (ROOT / package).rglob("*.py")
        for name in _environment_names(ast.parse(path.read_text()))
    }
    assert {"ANIMATIC_RUNS", "ANIMATIC_CACHE", "RAY_ADDRESS"} <= read
    assert sorted(read - listed) == []


def _environment_names(tree: ast.Module) -> Iterator[str]:
    """Variables of ``os.environ``: read by subscript or get, given a default, or searched.

    A name that a variable contains is one of the module's constants.
    """
    constants = {
        part.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and re.fullmatch(r"[A-Z][A-Z_]+", str(part.value))
    }
    for key in filter(None, map(_environment_key, ast.walk(tree))):
        if isinstance(key, ast.Name):
            yield from map(str, constants)
        elif isinstance(key, ast.Constant):
            yield str(key.value)


def _environment_key(node: ast.AST) -> ast.expr | None:
    """The key by which ``node`` reads the environment, if it does."""
    if isinstance(node, ast.Call) and node.args:
        reads = ast.unparse(node.func) in ("os.environ.get", "os.environ.setdefault", "os.getenv")
        return node.args[0] if reads else None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return node.slice if ast.unparse(node.value) == "os.environ" else None
    if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
        return node.left
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_figures_are_those_of_the_page_of_figures(document: Path) -> None:
    """A figure elsewhere is the text of a link to the section of performance.md that has it."""
    figures = (ROOT / "docs/performance.md").read_text()
    for text, heading in re.findall(r"\[([^\]]+)\]\([\w./]*performance\.md#([\w-]+)\)", document.read_text()):
        if text in ("performance", "performance.md"):
            continue
        (section,) = [
            part for part in re.split(r"^##+ ", figures, flags=re.MULTILINE) if _anchor(part) == heading
        ]
        for figure in re.split(r" and ", text):
            value = figure.removesuffix("processor seconds").strip()
            assert re.search(rf"(?<![\d.]){re.escape(value)}(?![\d.]\d)", " ".join(section.split())), text


def _anchor(section: str) -> str:
    return re.sub(r"[^\w\- ]", "", section.partition("\n")[0].lower()).replace(" ", "-")
