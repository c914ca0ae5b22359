"""Whatever became of the files of a workspace, its lineage is collected and displayed."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.lineage import collect_lineage_of, seen_by, tree_lines, write_page
from orchestration.workspace import Workspace
from tests.support.lineages import whole_lineage

LARGE = 200_000  # bytes, of files whose damage only changes a digest


def _flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": _flipped,
    "cut": lambda content, rng: content[: rng.randrange(len(content) + 1)],
    "random": lambda content, rng: rng.randbytes(200),
    "null": lambda content, rng: b"null",
    "list": lambda content, rng: b"[1, 2]",
    "other types": lambda content, rng: b'{"format":1,"digest":5,"system":[],"event":"start","metrics":{}}\n',
    "nested": lambda content, rng: b"[" * 100_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_damaged_or_missing_file_ends_a_lineage_in_a_traceback(tmp_path: Path, seed: int) -> None:
    rng, root = random.Random(seed), tmp_path / "runs"
    whole = whole_lineage(root)
    champion = whole.bundle("final").id
    workspace = Workspace(root)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size < LARGE)
    for _ in range(60):
        path, damage = rng.choice(files), rng.choice([*DAMAGES, "gone", "a folder"])
        content = path.read_bytes()
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        elif damage != "gone":
            path.write_bytes(DAMAGES[damage](content, rng))
        try:
            graph = collect_lineage_of(champion, workspace, deep=rng.random() < 0.3).graph
            write_page(tmp_path / "page.html", graph)
            assert tree_lines(graph)
            seen_by([champion], workspace)
        except AnimaticError as error:
            assert "ledger" in str(error), (path, damage)  # without it, nothing can be said
        finally:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.write_bytes(content)
