"""How much memory this process can still use."""

from pathlib import Path

import psutil  # type: ignore[import-untyped]

# Limit and use of a container by version of cgroups. What it can drop of its page cache counts as used.
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_bytes() -> int:
    """Of the machine, or of the container that this process is in, without swapping."""
    free = [int(psutil.virtual_memory().available)]
    free += [left for cgroup in _CGROUPS if (left := _left(*cgroup)) is not None]
    return max(min(free), 0)


def _left(folder: str, limit: str, used: str, droppable: str) -> int | None:
    """What a limit leaves; None without a limit."""
    try:
        most = (Path(folder) / limit).read_text().strip()
        if not most.isdigit():
            return None  # "max"
        statistics = dict(line.split() for line in (Path(folder) / "memory.stat").read_text().splitlines())
        return int(most) - int((Path(folder) / used).read_text()) + int(statistics.get(droppable, 0))
    except OSError:
        return None
