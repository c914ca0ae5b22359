"""Workers of Ray are forks of a process that has imported what they need, and differ from others in nothing
else."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import psutil
import pytest
import ray

from pipelines.cluster import forking
from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.forking import host

# Of the standard library, and used by nothing.
RARE = "tabnanny"
MODULE = "pipelines.cluster.forking.server"
DESCRIBE = """
import json, os, signal, sys
print(json.dumps([
    sys.argv, __name__, os.getcwd(), os.umask(0o22), sorted(map(int, signal.pthread_sigmask(0, ()))),
    signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGCHLD),
    dict(os.environ), open("/proc/self/oom_score_adj").read(),
]))
print("to stderr", file=sys.stderr)
"""


@pytest.fixture(autouse=True, scope="module")
def without_gpu() -> None:
    """Machines with a GPU have no forks."""
    if forking.forked_workers() is None:
        pytest.skip("a fork cannot use a GPU")


def command() -> list[str]:
    """What Ray runs in place of Python."""
    given = forking.forked_workers()
    assert given is not None
    return shlex.split(given)


def server() -> psutil.Process:
    """The fork server of this process."""
    (found,) = (each for each in psutil.Process().children() if MODULE in each.cmdline())
    return found


def end_server() -> None:
    """As where memory runs out."""
    process = server()
    process.kill()
    process.wait(10)


def run(python: list[str], *arguments: str, **options: object) -> tuple[str, str]:
    """stdout and stderr of a script, until the last process that has them ends."""
    done = subprocess.run([*python, *arguments], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]
    assert done.returncode == 0
    return done.stdout, done.stderr


def test_a_fork_has_arguments_folder_environment_and_signals_of_an_ordinary_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What others had imported, or would import in a new server, prints when the process ends.
    monkeypatch.setattr(host._Current, "asked", ())
    end_server()
    script = tmp_path / "script.py"
    script.write_text(DESCRIBE)
    options = {
        "cwd": tmp_path,
        "umask": 0o27,
        "env": {"PATH": "/bin", "NAME": "Jörg", "LC_CTYPE": "C.UTF-8"},
        "preexec_fn": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    }
    arguments = (str(script), "a b", "ü", "--x=1")
    assert run(command(), *arguments, **options) == run([sys.executable], *arguments, **options)


def test_a_fork_begins_with_modules_that_were_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys; print('{RARE}' in sys.modules, 'numpy' in sys.modules)")
    command()
    forking.import_for_workers(RARE, "no_such_module", "numpy")
    assert run(command(), str(script))[0] == "True True\n"
    assert run([sys.executable], str(script))[0] == "False False\n"


def test_forks_draw_different_random_numbers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import numpy, random; print(random.random(), numpy.random.random())")
    forking.import_for_workers("numpy", "random")
    first, second = (run(command(), str(script))[0].split() for _ in range(2))
    assert not set(first) & set(second)
    assert (random.random(), numpy.random.random()) != first


def test_a_fork_ends_without_a_trace(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os; print(os.getpid(), flush=True)\nraise SystemExit(3)")
    pid = int(run(command(), str(script))[0])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_starts_without_the_server(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv[1])")
    python = command()
    end_server()
    out, error = run(python, str(script), "x")
    assert (out, "does not answer" in error) == ("x\n", True)
    assert command() != python  # of another server, for the next Ray


def test_a_module_that_imports_ray_makes_no_forks(tmp_path: Path) -> None:
    """It has drawn random numbers by which it names tasks."""
    script = tmp_path / "script.py"
    script.write_text("import sys; print('ray' in sys.modules)")
    code = (
        "import shlex, subprocess, sys; from pipelines.cluster.forking import *\n"
        "import_for_workers('ray')\n"
        "subprocess.run([*shlex.split(forked_workers()), sys.argv[1]], check=True)"
    )
    out, error = run([sys.executable, "-c", code], str(script))
    assert (out, "does not answer" in error) == ("False\n", True)


def test_the_server_ends_with_its_process_and_leaves_no_files() -> None:
    code = (
        "import time; from pipelines.cluster.forking import forked_workers\n"
        "print(forked_workers(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = Path(shlex.split(process.stdout.readline().decode())[-1])
        assert address.exists()
        (child,) = psutil.Process(process.pid).children()
        process.kill()
    child.wait(20)
    assert not address.parent.exists()


def test_workers_of_ray_are_forks_with_tasks_of_their_own() -> None:
    """Names of tasks are random numbers: of forks that share them, the one that both call would abort."""

    class Called:
        async def call(self, pid: int) -> int:
            return pid

    def calls(called: object) -> tuple[int, bool]:
        """In a thread, as Ray Train's workers call."""
        import threading

        answers: list[int] = []

        def ask() -> None:
            answers.extend(ray.get([called.call.remote(os.getpid()) for _ in range(20)]))  # type: ignore[attr-defined]

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return os.getppid(), set(answers) == {os.getpid()}

    ensure_ray(None, 2)
    called = ray.remote(num_cpus=0)(Called).remote()
    done = [ray.remote(num_cpus=1)(calls).remote(called) for _ in range(2)]
    assert ray.get(done) == [(server().pid, True)] * 2
