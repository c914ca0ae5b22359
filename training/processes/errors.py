"""Errors of a process that follow from another one's."""

from core.errors import AnimaticError


class PeerError(RuntimeError):
    """Work of another process of the run failed."""


class ReportedError(AnimaticError):
    """An error that the user can fix, which another process of the run has raised and reports."""


def lost_peer(error: Exception) -> bool:
    """Whether a process failed because another one did: by a collective operation, or by its report."""
    from torch.distributed import DistError

    # gloo has no error type of its own.
    return isinstance(error, DistError | PeerError) or "gloo/transport" in str(error)
