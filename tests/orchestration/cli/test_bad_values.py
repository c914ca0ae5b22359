"""Every verb, every option and argument, bad values: an error of few lines before anything starts, or a value
that the verb can work with."""

import random
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from models.bundle import open_bundle
from orchestration.cli import app
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.promotions import GATE, promote, report_for, store
from tests.support.signing_keys import key_pair
from tests.support.small_stages import make_bundle
from training.config import resolve
from training.config.run import dump_yaml

LARGE = "9223372036854775808"
NO_NUMBERS = ("nan", "inf", "-inf", "1e400", "", " ", LARGE, f"-{LARGE}", "1" * 5000, "[x]", "½")
NUMBERS = ("-1", "0", "1.5", *NO_NUMBERS)
TEXTS = (
    "", " ", "\0", "a\0b", "\udcff", "[x]", "[/]", "[bold", "../..", ".", "/", "/dev/null", "missing/x",
    "folder", "file", "-1", "nan", "é 红球 \u202e \U0001f3b1", "x" * 5000, "a\nb", "%s{}$HOME`id`",
    "s3://", "x://y", "http://[",
)  # fmt: skip
UNUSABLE = {"", " ", "\0", "a\0b", "\udcff"}
# A command of each verb that would work, were its work not replaced.
COMMANDS = {
    "ingest": "table.csv --videos folder",
    "index-images": "folder",
    "retry": "data --class fetch_timeout",
    "verify": "data",
    "dataset": "subset data --out new --count 2",
    "inspect": "data",
    "encode": "data --to latents --preset tiny",
    "score": "data --weights file",
    "caption": "data --model folder",
    "similar": "data --weights file",
    "takedown": "data --source-id 0",
    "plan": "--stage 0 --preset tiny",
    "train": "--stage 0 --preset tiny --data data",
    "checkpoint": "list run",
    "sync": "run",
    "ablation": "--data data --held-out data",
    "promote": "bundle --gate gate.yaml",
    "compare": "report.json report.json",
    "gate": "report.json --gate gate.yaml",
    "export": "bundle --to new",
    "exports": "folder",
    "rollback": "",
    "withdraw": "other --reason broken --force",
    "sign": "bundle --key private.pem",
    "verify-signature": "bundle --key public.pem",
    "lineage": "bundle --html page.html",
    "registry": "",
    "animate": "still.png ball",
    "calibrate-motion": "data --bundle bundle",
    "merge": "adapter --out new",
    "serve": "",
    "api-key": "create name --keys keys.json",
    "evaluate": "data",
    "page": "features.npy",
    "metric": "frechet features.npy features.npy",
    "study": "make folder --out new",
    "vbench": "import results.json",
    "import-checkpoint": "file",
    "export-checkpoint": "bundle --as dynamicrafter",
    "jobs": "list --address http://127.0.0.1:1",
    "demo": "--image still.png --prompt ball",
    "doctor": "runs",
}
# What works: with these replaced, a command that gets so far has started its work.
WORK = (
    "orchestration.export.publish",
    "orchestration.workflows.export.list_exports",
    "orchestration.workflows.ingest.ingest",
    "orchestration.workflows.ingest.retry",
    "orchestration.workflows.index_images.run",
    "orchestration.workflows.verify.verify",
    "orchestration.workflows.datasets.subset",
    "orchestration.workflows.inspect.survey",
    "orchestration.workflows.inspect_batch.draw_batch",
    "orchestration.workflows.encode.encode",
    "orchestration.workflows.score.score",
    "orchestration.workflows.caption.caption",
    "orchestration.workflows.similar.similar",
    "orchestration.workflows.takedown.take_down",
    "orchestration.workflows.plan.rehearse",
    "orchestration.workflows.train.train",
    "orchestration.workflows.run_checkpoints.complete_checkpoints",
    "orchestration.workflows.sync.sync",
    "orchestration.workflows.ablation.run_ablation",
    "orchestration.registry.mirror_change",
    "orchestration.registry.mirror_ledger",
    "orchestration.registry.withdraw",
    "orchestration.workflows.signatures.sign_bundle",
    "orchestration.workflows.signatures.open_signed",
    "orchestration.workflows.animate.animate",
    "orchestration.workflows.serve.serve",
    "orchestration.workflows.api_keys.create_key",
    "orchestration.workflows.evaluate.export_pictures",
    "orchestration.workflows.evaluate.generate",
    "orchestration.workflows.vbench.import_results",
    "orchestration.workflows.metric.frechet_distance",
    "orchestration.workflows.metric.kernel_distance",
    "orchestration.workflows.study.make",
    "orchestration.workflows.evaluation_page.read_report",
    "orchestration.demo.steps.run",
    "orchestration.demo.prior.making.make_prior",
)
# Empty text means something here.
MAY_BE_EMPTY = {"prompt", "--note"}


class StartedError(Exception):
    """The verb has begun to work."""


@dataclass(frozen=True)
class Case:
    verb: str
    parameter: str
    is_number: bool
    value: str
    arguments: list[str]

    def __str__(self) -> str:
        return f"{self.verb} {self.parameter} {self.value[:40]!r}"


def cases(verb: str) -> Iterator[Case]:
    """Each option and argument of the verb with each bad value, the others as in its working command."""
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    working = shlex.split(COMMANDS[verb])
    positional = len(working) if "--" not in COMMANDS[verb] else COMMANDS[verb].split("--")[0].count(" ")
    arguments, options = working[:positional], working[positional:]
    place = 0
    for parameter in command.commands[verb].params:
        if isinstance(parameter, TyperOption):
            if parameter.is_flag:
                continue
            rest = _without(options, parameter.opts[0])
            for value in _values(parameter):
                given = [*rest, f"{parameter.opts[0]}={value}", "--", *arguments]
                yield Case(verb, parameter.opts[0], _is_number(parameter), value, given)
        elif isinstance(parameter, TyperArgument):
            for value in _values(parameter):
                given = [*arguments[:place], value, *arguments[place + 1 :]]
                yield Case(verb, parameter.name, False, value, [*options, "--", *given])
            place += 1


def _without(options: list[str], name: str) -> list[str]:
    if name not in options:
        return options
    position = options.index(name)
    return options[:position] + options[position + 2 :]


def _values(parameter: TyperOption | TyperArgument) -> tuple[str, ...]:
    return NUMBERS if _is_number(parameter) else TEXTS


def _is_number(parameter: TyperOption | TyperArgument) -> bool:
    return parameter.type_descriptor.annotation in (int, float, int | None, float | None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with one of everything."""
    folder = tmp_path_factory.mktemp("values") / "a" / "b"
    (folder / "folder" / "inner").mkdir(parents=True)
    (folder / "file").write_bytes(b"not what anybody expects \xff\x00")
    (folder / "table.csv").write_text("videoid,contentUrl,page_dir,name\n1,x,p,a cat\n")
    build_dataset(folder / "data", [40] * 4)
    ledger = Workspace(folder / "runs").ledger
    for name, seed in (("bundle", 0), ("other", 1)):
        make_bundle(folder / name, seed=seed)
        accept(ledger, open_bundle(folder / name))
        promote(ledger, open_bundle(folder / name))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "still.png")
    np.save(folder / "features.npy", np.zeros((4, 3), np.float32))
    store(report_for("a" * 64), folder / "report.json")
    (folder / "gate.yaml").write_text(GATE)
    key_pair(folder)
    (folder / "run").mkdir()
    (folder / "run" / "journal.jsonl").touch()
    (folder / "run" / "config.yaml").write_text(dump_yaml(resolve(0, "tiny")))
    return folder


@pytest.fixture
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def start(*_: object, **__: object) -> None:
        raise StartedError

    monkeypatch.chdir(world)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    for name in WORK:
        monkeypatch.setattr(name, start)
    return world


def test_the_table_has_every_verb() -> None:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert COMMANDS.keys() == command.commands.keys()


# What these work on is not in the folder: they end with an error that names it.
WITHOUT_INPUT = {"calibrate-motion", "export-checkpoint", "import-checkpoint", "jobs", "merge", "rollback"}


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "doctor"])
def test_the_working_commands_work(here: Path, verb: str) -> None:
    result = run(verb, *shlex.split(COMMANDS[verb]))
    worked = result.exit_code == 0 or isinstance(result.exception, StartedError)
    assert worked or verb in WITHOUT_INPUT, result.output


def check(case: Case) -> str | None:
    """What is wrong with the outcome of a case."""
    result = run(case.verb, *case.arguments)
    if isinstance(result.exception, StartedError) or result.exit_code == 0:
        empty = case.parameter in MAY_BE_EMPTY and not case.value.strip()
        unusable = case.value in (NO_NUMBERS if case.is_number else UNUSABLE) and not empty
        return f"{case}: accepted" if unusable else None
    if not isinstance(result.exception, SystemExit):
        return f"{case}: {type(result.exception).__name__}: {result.exception}"
    if result.exit_code not in (1, 2):
        return f"{case}: exit code {result.exit_code}"
    lines = result.stderr.splitlines()
    if result.exit_code == 1 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{case}: {result.stderr[:300]}"
    if len(lines) > 10 + len(case.value) / 40:
        return f"{case}: {len(lines)} lines"
    if case.is_number and case.parameter not in result.stderr:
        return f"{case}: the option is not named: {result.stderr[:300]}"
    return None


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_bad_value_is_an_error_of_few_lines_before_anything_starts(here: Path, verb: str) -> None:
    """A sample of the cases; all of them in the slow test."""
    every = list(cases(verb))
    sample = random.Random(verb).sample(every, min(6, len(every)))
    assert [problem for problem in map(check, sample) if problem] == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_bad_value_is_an_error_of_few_lines_before_anything_starts(here: Path, verb: str) -> None:
    assert [problem for problem in map(check, cases(verb)) if problem] == []
