"""Where the base of an adapter's bundle is."""

from collections.abc import Iterator
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models import PRIOR
from models.bundle.info import INFO, AdapterInfo


def find_base(folder: Path, adapter: AdapterInfo, given: Path | None) -> Path:
    """The folder of the base: the one given, else where it was in training, else beside the adapter's folder.

    A folder that is given is returned whatever it contains; others only with the base's own ``bundle.json``.

    Raises:
        AnimaticError: none is given and the base is in none of the others.
    """
    if given is not None:
        return given
    for candidate in _candidates(folder, adapter):
        path = candidate / INFO
        if path.is_file() and sha256(path) == adapter.base:
            return candidate
    recorded = f"neither at {adapter.path}, where it was in training, nor" if adapter.path else "not"
    raise AnimaticError(
        f"bundle {folder} is an adapter of bundle {adapter.base[:12]}, which is {recorded} beside {folder}: "
        "copy it beside the adapter, or name its folder with --base (animate, evaluate, merge)"
    )


def _candidates(folder: Path, adapter: AdapterInfo) -> Iterator[Path]:
    yield PRIOR if adapter.path is None else Path(adapter.path)
    beside = folder.resolve().parent
    if beside.is_dir():
        yield from sorted(path for path in beside.iterdir() if path.is_dir())
