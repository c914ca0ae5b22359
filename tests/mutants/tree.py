"""A copy of the working tree in which mutants are applied and tested, each in a process of its own.

Processes are forked from this one, which has imported the libraries that tests need: starting them again for
every mutant would take longer than most tests.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PACKAGES = {"core", "models", "orchestration", "pipelines", "tests", "training"}
_LIBRARIES = (
    "torch",
    "pyarrow.parquet",
    "av",
    "PIL.Image",
    "pydantic",
    "hypothesis",
    "pytest",
    "yaml",
    "webdataset",
)
_POLL_S = 0.05


@dataclass(frozen=True)
class TestRun:
    """What came of tests.

    Attributes:
        passed: whether all did.
        failed: id of the first that did not; "" if collecting them failed, or they took too long.
        ended: whether they did, within the time that they had.
        seconds: by id of the test.
    """

    __test__ = False  # for pytest

    passed: bool
    failed: str = ""
    ended: bool = True
    seconds: dict[str, float] = field(default_factory=dict)


class Tree:
    """A copy of the files of a repository that git knows or does not ignore, in ``folder``."""

    def __init__(self, root: Path, copy: Path) -> None:
        """Import the libraries and copy ``root`` to the empty folder ``copy``."""
        self.folder = copy / "tree"
        self._scratch = copy / "t"  # short: Ray's sockets are below it
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
        for name in filter(None, names.split("\0")):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (root / name).is_file():
                shutil.copy2(root / name, target)
        for library in _LIBRARIES:
            importlib.import_module(library)

    @contextlib.contextmanager
    def changed(self, file: str, source: str) -> Iterator[None]:
        """The copy, with another content of a file."""
        path = self.folder / file
        original = path.read_bytes()
        try:
            self._write(path, source.encode())
            yield
        finally:
            self._write(path, original)

    def run(
        self, tests: list[str], limit_s: float, options: tuple[str, ...] = (), **environment: str
    ) -> TestRun:
        """Run tests until one fails; more than ``limit_s`` seconds count as a failure."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        child = os.fork()
        if child == 0:
            _test(self.folder, self._scratch, [*options, *tests], environment)
        status, ended = _wait(child, limit_s)
        report = self._scratch / "report.json"
        found = json.loads(report.read_text()) if report.exists() else {"failed": "", "seconds": {}}
        return TestRun(ended and status == 0, found["failed"], ended, found["seconds"])

    @property
    def log(self) -> str:
        """What the last run printed."""
        return (self._scratch / "log").read_text()

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        # Bytecode is matched by time and size, which two versions may share.
        for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            cached.unlink()


class _Recorder:
    """A plugin of pytest that notes durations and the first failure."""

    def __init__(self, path: Path) -> None:
        self._path, self._failed, self._seconds = path, "", dict[str, float]()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self._failed:
            self._failed = report.nodeid

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps({"failed": self._failed, "seconds": self._seconds}))


def _test(folder: Path, scratch: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run pytest in this process, which was forked for it, and end it."""
    status = 1
    try:
        os.setsid()
        output = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ.update({"PYTHONPATH": str(folder), "TMPDIR": str(scratch), **environment})
        for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
            del sys.modules[name]
        sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(Path.cwd())))]
        import pytest

        options = ["-q", "-x", "-o", "addopts=", "-p", "no:cacheprovider", "-m", "not slow", "--timeout=300"]
        basetemp = f"--basetemp={scratch / 'tests'}"
        status = pytest.main([*options, basetemp, *arguments], plugins=[_Recorder(scratch / "report.json")])
    finally:
        os._exit(int(status))


def _wait(child: int, limit_s: float) -> tuple[int, bool]:
    """The exit code of a child, and whether it ended in time. What it started ends with it."""
    end = time.monotonic() + limit_s
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        late = time.monotonic() > end
        if finished or late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            if not finished:
                os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status), bool(finished)
        time.sleep(_POLL_S)
