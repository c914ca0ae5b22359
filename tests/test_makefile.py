"""What a user gives to `make` reaches the command byte for byte: nothing in it is expanded or executed."""

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from orchestration.cli import app
from tests.support.makefile import make, recording_folder
from tests.support.paths import ROOT

HOSTILE = (
    """a "big" ball costs $5, $HOME $(touch dollar) ${USER} `touch backtick` 'x' """
    "\\n # % ; & | > * ~ é 红球 "
)
# The verbs' arguments without a name, by target.
ARGUMENTS = {
    "data": ["DATA"],
    "dataset": ["ACTION", "DATA", "WITH"],
    "inspect": ["DATA"],
    "verify": ["DATA"],
    "encode": ["DATA"],
    "score": ["DATA"],
    "caption": ["DATA"],
    "similar": ["DATA"],
    "takedown": ["DATA"],
    "plan": [],
    "train": [],
    "checkpoints": ["ACTION", "RUN"],
    "animate": ["IMAGE", "PROMPT"],
    "serve": [],
    "evaluate": ["DATA"],
    "compare": ["REPORT_A", "REPORT_B"],
    "promote": ["BUNDLE"],
    "rollback": [],
    "export": ["BUNDLE"],
    "lineage": ["BUNDLE"],
    "sign": ["BUNDLE"],
    "verify-signature": ["BUNDLE"],
    "study": ["ACTION", "REPORT_A", "REPORT_B", "STUDY", "ANSWERS"],
    "import-checkpoint": ["CHECKPOINT"],
    "export-checkpoint": ["BUNDLE"],
    "jobs": ["ACTION", "JOB"],
    "demo": [],
    "prior": [],
    "doctor": [],
}
VERBS = {"data": "ingest", "prior": "demo", "checkpoints": "checkpoint"}  # others: the target's name
# Options that a target does not do without.
NEEDED = {
    "encode": ["OUT"],
    "export": ["TO"],
    "caption": ["MODEL"],
    "similar": ["WEIGHTS"],
    "sign": ["KEY"],
    "verify-signature": ["KEY"],
}
# The demo has two targets: --prior and --set are those of one, the rest of the other.
NOT_PASSED = {"demo": {"--prior", "--set"}, "prior": {"--prior", "--out", "--image", "--prompt"}}


@dataclass(frozen=True)
class Option:
    """An option of a verb, and the variable that passes it."""

    name: str
    negation: str | None
    is_flag: bool
    target: str

    @property
    def variable(self) -> str:
        if (self.target, self.name) == ("encode", "--to"):
            return "OUT"
        return self.name.removeprefix("--").replace("-", "_").upper()


def options(target: str) -> list[Option]:
    """All public options of the target's verb, as the command declares them."""
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    verb = command.commands[VERBS.get(target, target)]
    return [
        Option(option.opts[0], next(iter(option.secondary_opts), None), option.is_flag, target)
        for option in verb.params
        if isinstance(option, TyperOption) and not option.hidden
        if option.opts[0] not in NOT_PASSED.get(target, ())
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return recording_folder(tmp_path)


def passed(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """What the command got."""
    done = make(folder, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_table_has_every_target_with_a_verb() -> None:
    (line,) = re.findall(r"^VERBS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert ARGUMENTS.keys() == set(line.split())


@pytest.mark.parametrize("target", ARGUMENTS)
def test_every_option_of_the_verb_has_a_variable_whose_value_reaches_it_unchanged(
    folder: Path, target: str
) -> None:
    values = [option for option in options(target) if not option.is_flag]
    names = [*(option.variable for option in values), *ARGUMENTS[target]]
    arguments = passed(folder, target, *(f"{name}={name} {HOSTILE}" for name in names))
    for option in values:
        value = f"{option.variable} {HOSTILE}"
        given = itertools.pairwise(arguments)
        assert f"{option.name}={value}" in arguments or (option.name, value) in given
    for name in ARGUMENTS[target]:
        assert f"{name} {HOSTILE}" in arguments[arguments.index("--") + 1 :]
    assert not [path for path in folder.iterdir() if path.name in ("dollar", "backtick")]


@pytest.mark.parametrize("target", ARGUMENTS)
def test_every_flag_of_the_verb_has_a_variable(folder: Path, target: str) -> None:
    given = [f"{name}=x" for name in [*ARGUMENTS[target], *NEEDED.get(target, [])]]
    flags = [option for option in options(target) if option.is_flag]
    arguments = passed(folder, target, *given, *(f"{flag.variable}=yes" for flag in flags))
    assert {flag.name for flag in flags} <= set(arguments)
    arguments = passed(folder, target, *given, *(f"{flag.variable}=no" for flag in flags))
    assert not {flag.name for flag in flags} & set(arguments)
    assert {flag.negation for flag in flags if flag.negation} <= set(arguments)
    for flag in flags:
        done = make(folder, target, *given, f"{flag.variable}=maybe")
        assert done.returncode == 2
        assert f"error: {flag.variable} must be yes or no" in done.stderr


def test_a_variable_that_the_target_lacks_is_refused(folder: Path) -> None:
    done = make(folder, "verify", "DATA=x", "SEED=3")
    assert done.returncode == 2
    assert "make verify has no SEED; it has DATA DEEP JSON" in done.stderr
    assert make(folder, "rollback", "PREST=256").returncode == 2
    # What belongs to no verb is Make's own affair, and general names of the environment are not ours.
    assert passed(folder, "verify", "DATA=x", "PYTHON=python3", SEED="3", DEEP="yes") == ["verify", "--", "x"]


def test_a_prompt_is_passed_as_it_is_from_the_command_line_and_the_environment(folder: Path) -> None:
    for prompt in (HOSTILE, "-5 degrees", "two\nlines", "$(shell touch dollar)"):
        wanted = ["animate", "--", "-my picture.png", prompt]
        given = (f"IMAGE={wanted[2]}", f"PROMPT={prompt}")
        assert passed(folder, "animate", *given) == wanted
        assert passed(folder, "animate", IMAGE=wanted[2], PROMPT=prompt) == wanted
        assert passed(folder, "demo", *given) == ["demo", f"--image={wanted[2]}", f"--prompt={prompt}"]
    assert passed(folder, "animate", "IMAGE=a.png")[2:] == ["a.png", "a red ball moves left"]
    assert not (folder / "dollar").exists()


def test_settings_keep_the_blanks_in_their_values(folder: Path) -> None:
    given = "SET=train.steps=100  validation.prompts=[a red  ball, 'b'] seed=1 "
    arguments = passed(folder, "train", "STAGE=2", given)
    assert arguments == [
        "train", "--stage=2", "--set", "train.steps=100", "--set", "validation.prompts=[a red  ball, 'b']",
        "--set", "seed=1 ",
    ]  # fmt: skip
    assert passed(folder, "train") == ["train", "--stage=3"]
    extractors = passed(folder, "evaluate", "DATA=x", "EXTRACTOR=i3d=my file.pt clip=folder")
    assert extractors == [
        "evaluate",
        "--extractor",
        "i3d=my file.pt",
        "--extractor",
        "clip=folder",
        "--",
        "x",
    ]


def test_what_is_not_given_is_left_out_and_what_is_needed_is_named(folder: Path) -> None:
    assert passed(folder, "promote") == ["promote", "--"]
    # Make's own AS is the assembler.
    assert passed(folder, "import-checkpoint", "CHECKPOINT=x") == ["import-checkpoint", "--", "x"]
    needing = {
        "data",
        "encode",
        "score",
        "animate",
        "evaluate",
        "compare",
        "import-checkpoint",
        "export-checkpoint",
    }
    for target in needing:
        done = make(folder, target)
        assert done.returncode == 2
        assert f"error: make {target} " in done.stderr
