"""The images of infra/images: their Dockerfiles, and what their steps install, in folders of this machine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.dockerfile import Stage, read_dockerfile, run_step
from tests.support.paths import ROOT
from tests.support.tracked import tracked_files

# What the build gets of the repository.
PACKAGES = ("core", "models", "orchestration", "pipelines", "training")
SENT = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock")
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Dockerfile:
    """A file of infra/images, and its stages by name."""

    path: Path
    builder: Stage
    cuda: Stage
    cpu: Stage
    package: Stage
    final: Stage

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self.builder, self.cuda, self.cpu, self.package, self.final)


def dockerfile(name: str) -> Dockerfile:
    """``name`` is that of the file, without its suffix."""
    path = ROOT / "infra/images" / f"{name}.Dockerfile"
    return Dockerfile(path, *read_dockerfile(path)[1:])


TRAIN, SERVE = dockerfile("train"), dockerfile("serve")


@dataclass(frozen=True)
class Installed:
    """What the steps of a CUDA variant make below ``root``: src, opt/animatic."""

    root: Path

    def run(self, *arguments: str) -> str:
        """Run what PATH of the image finds, in an empty folder; the command must succeed."""
        work = self.root / "work"
        work.mkdir(exist_ok=True)
        environment = {
            "PATH": f"{self.root / 'opt/animatic/bin'}:/usr/bin:/bin",
            "HOME": str(work),
            "RAY_USAGE_STATS_ENABLED": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        done = subprocess.run(
            ["/usr/bin/env", *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def versions(self) -> dict[str, str]:
        """Installed distributions."""
        return json.loads(self.run("python", "-c", _INSTALLED))


_INSTALLED = """
import json, re
from importlib.metadata import distributions
found = [(each.metadata["Name"], each.version) for each in distributions()]
print(json.dumps({re.sub("[-_.]+", "-", name).lower(): version for name, version in found}))
"""


def locked_versions() -> set[tuple[str, str]]:
    """Distributions and versions of the lock; some have several, for several versions of Python."""
    lock = (ROOT / "requirements.lock").read_text()
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==([^\s;]+)", lock, re.MULTILINE))


def install(image: Dockerfile, root: Path) -> Installed:
    """Execute the steps of the CUDA variant, with folders below ``root`` for those of the image."""
    folders = {"/opt/animatic": root / "opt/animatic", "/src": root / "src", "/tmp": root / "tmp"}
    for folder in folders.values():
        folder.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)
    environment = {
        "PATH": f"{root / 'base/bin'}:{os.environ['PATH']}",
        "PYTHONPATH": "",
        "REVISION": REVISION,
        "VIRTUAL_ENV": str(folders["/opt/animatic"]),
        # Nothing is copied or compiled that only the real image needs.
        "UV_LINK_MODE": "symlink",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    for stage in (image.builder, image.cuda, image.package):
        for instruction in stage.instructions:
            if instruction.keyword == "COPY":
                _copy(shlex.split(instruction.rest)[:-1], folders["/src"])
            elif instruction.keyword == "RUN":
                run_step(instruction, folders, folders["/src"], environment)
    return Installed(root)


def _copy(sources: Sequence[str], folder: Path) -> None:
    """COPY from the context: the tracked files that .dockerignore sends."""
    for path in (path.relative_to(ROOT) for path in tracked_files()):
        if str(path) in sources or ("." in sources and (path.parts[0] in PACKAGES or str(path) in SENT)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)
