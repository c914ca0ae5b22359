"""What a user gives to `make` reaches the command byte for byte: nothing in it is expanded or executed."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
HOSTILE = (
    """a "big" ball costs $5, $HOME $(touch dollar) ${USER} `touch backtick` 'x' """
    "\\n # % ; & | > * ~ é 红球 "
)
TARGETS = {
    "data": ("DATA", {"VIDEOS": "--videos", "OUT": "--out", "PRESET": "--preset"}),
    "inspect": ("DATA", {"OUT": "--out"}),
    "verify": ("DATA", {}),
    "encode": ("DATA", {"OUT": "--to", "PRESET": "--preset", "ADDRESS": "--address", "SET": "--set"}),
    "score": ("DATA", {"WEIGHTS": "--weights", "ADDRESS": "--address"}),
    "train": (
        None,
        {
            "STAGE": "--stage",
            "PRESET": "--preset",
            "DATA": "--data",
            "OUT": "--out",
            "GPUS": "--gpus",
            "ADDRESS": "--address",
            "SET": "--set",
        },
    ),
    "animate": ("IMAGE", {"BUNDLE": "--bundle", "OUT": "--out"}),
    "evaluate": ("DATA", {"BUNDLE": "--bundle", "OUT": "--out", "ADDRESS": "--address"}),
    "promote": ("BUNDLE", {"PRESET": "--preset"}),
    "rollback": (None, {"PRESET": "--preset"}),
    "import-checkpoint": ("CHECKPOINT", {"AS": "--as", "OUT": "--out"}),
    "export-checkpoint": ("BUNDLE", {"OUT": "--out"}),
    "prior": (None, {"SET": "--set"}),
    "demo": (None, {"OUT": "--out"}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile and a command that prints its arguments."""
    shutil.copy(MAKEFILE, tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.installed"):
        (tmp_path / name).touch()
    command = binaries / "animatic"
    command.write_text(f"#!{sys.executable} -S\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    command.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def passed(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """What the command got."""
    done = make(folder, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", TARGETS)
def test_every_variable_reaches_the_command_unchanged(folder: Path, target: str) -> None:
    argument, options = TARGETS[target]
    names = [*options, *([argument] if argument else [])]
    arguments = passed(folder, target, *(f"{name}={name} {HOSTILE}" for name in names))
    for name, option in options.items():
        value = f"{name} {HOSTILE}"
        assert f"{option}={value}" in arguments or (option, value) in itertools.pairwise(arguments)
    if argument:
        assert f"{argument} {HOSTILE}" in arguments[arguments.index("--") + 1 :]
    assert not [path for path in folder.iterdir() if path.name in ("dollar", "backtick")]


def test_a_prompt_is_passed_as_it_is_from_the_command_line_and_the_environment(folder: Path) -> None:
    for prompt in (HOSTILE, "-5 degrees", "two\nlines", "$(shell touch dollar)"):
        wanted = ["animate", "--", "-my picture.png", prompt]
        given = (f"IMAGE={wanted[2]}", f"PROMPT={prompt}")
        assert passed(folder, "animate", *given) == wanted
        assert passed(folder, "animate", IMAGE=wanted[2], PROMPT=prompt) == wanted
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


def test_what_is_not_given_is_left_out_and_what_is_needed_is_named(folder: Path) -> None:
    assert passed(folder, "promote") == ["promote", "--"]
    # Make's own AS is the assembler.
    assert passed(folder, "import-checkpoint", "CHECKPOINT=x") == ["import-checkpoint", "--", "x"]
    for target in TARGETS.keys() - {"inspect", "verify", "train", "promote", "rollback", "prior", "demo"}:
        done = make(folder, target)
        assert done.returncode == 2
        assert f"error: make {target} " in done.stderr
