"""The instructions of a Dockerfile, and those of its steps that can run without Docker."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """``keyword`` in capitals; ``rest`` on one line, without flags of the form --name=value."""

    keyword: str
    rest: str
    flags: Mapping[str, str]


@dataclass(frozen=True)
class Stage:
    """FROM ``base`` AS ``name``; instructions before the first FROM are the stage without either."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def of(self, keyword: str) -> list[Instruction]:
        return [each for each in self.instructions if each.keyword == keyword]


def read_dockerfile(path: Path) -> list[Stage]:
    """All stages, the global arguments first."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    stages, base, name, found = [], "", "", list[Instruction]()
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            stages.append(Stage(base, name, tuple(found)))
            base, _, name = rest.partition(" AS ")
            found = []
        elif keyword:
            found.append(_instruction(keyword, rest.strip()))
    return [*stages, Stage(base, name, tuple(found))]


def _instruction(keyword: str, rest: str) -> Instruction:
    flags = dict[str, str]()
    while flag := re.match(r"--([a-z]+)=(\S+) +", rest):
        flags[flag[1]] = flag[2]
        rest = rest[flag.end() :]
    return Instruction(keyword, rest, flags)


def run_step(
    instruction: Instruction, folders: Mapping[str, Path], cwd: Path, environment: Mapping[str, str]
) -> None:
    """Run a RUN instruction here, which must succeed; ``folders`` replace absolute paths of the image."""
    inside = rf"(?<![\w/])({'|'.join(map(re.escape, folders))})(?=[/\s]|$)"
    command = re.sub(inside, lambda path: str(folders[path[1]]), instruction.rest)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
