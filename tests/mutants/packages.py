"""The packages that machine-made mutants are made of, and the tests that should notice them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MutatedPackage:
    """Files by glob patterns, and tests; ``least`` is the share of mutants that must be noticed."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    least: float = 0.8

    def paths(self, root: Path) -> list[str]:
        """Its files, relative to ``root``."""
        found = (path for pattern in self.files for path in root.glob(pattern))
        return sorted(str(path.relative_to(root)) for path in found)


PACKAGES = {
    "pipelines/loader": MutatedPackage(("pipelines/loader/*.py",), ("tests/pipelines/loader",)),
    "pipelines/dataset": MutatedPackage(
        ("pipelines/dataset/*.py",),
        (
            "tests/pipelines/dataset",
            "tests/pipelines/encode",  # for what latents consist of
            "tests/pipelines/video/test_scores.py",
            "tests/faults/test_crash_order.py",
            "tests/faults/test_crash_order_in_a_store.py",
        ),
    ),
    "core/storage": MutatedPackage(
        ("core/storage.py", "core/files.py", "core/lock.py", "core/journal.py"),
        ("tests/core", "tests/faults/test_crash_order.py"),
    ),
    "orchestration/registry": MutatedPackage(
        ("orchestration/registry/*.py",), ("tests/orchestration/registry",)
    ),
    "orchestration/export": MutatedPackage(
        ("orchestration/export/*.py", "orchestration/export/card/*.py"), ("tests/orchestration/export",)
    ),
    "orchestration/signatures": MutatedPackage(
        ("orchestration/signatures/*.py",), ("tests/orchestration/signatures",)
    ),
    "pipelines/takedown": MutatedPackage(
        ("pipelines/takedown/*.py",),
        (
            "tests/pipelines/takedown",
            "tests/orchestration/workflows/test_takedown_workflow.py",
            "tests/faults/test_crash_order_of_takedowns.py",
        ),
    ),
    "training/checkpoints": MutatedPackage(
        ("training/checkpoints/*.py",),
        (
            "tests/training/checkpoints",
            "tests/training/test_takeover.py",
            "tests/faults/test_crash_order.py",
        ),
    ),
    "training/config": MutatedPackage(
        ("training/config/identity.py", "core/config/identity.py", "core/canonical_json.py"),
        ("tests/training/config", "tests/core/config", "tests/core/test_canonical_json.py"),
    ),
    "models/diffusion": MutatedPackage(("models/diffusion/*.py",), ("tests/models/diffusion",)),
}
