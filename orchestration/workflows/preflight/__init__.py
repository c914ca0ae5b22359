"""What is checked before a run gets its GPUs."""

from orchestration.workflows.preflight.checks import checked, preflight

__all__ = ["checked", "preflight"]
