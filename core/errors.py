"""Errors that end a command, and rejections of one input."""

_LONGEST = 300


class AnimaticError(Exception):
    """An error that the user can fix: the message states what, where and how, in one line.

    The command line prints it as ``error: <message>`` and exits non-zero. Nothing else is printed, so the
    message must be complete on its own.
    """


class TemporaryError(AnimaticError):
    """An error that may pass by itself: the same work, begun again later, can succeed."""


def last_line(error: object) -> str:
    """The last line of an error's text, at most 300 characters: the cause, where tracebacks precede it.

    The name of its type where it has no text.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else type(error).__name__


class RejectedError(Exception):
    """A row, file or clip that cannot be used.

    Attributes:
        reason: a word by which rejections are counted, as ``fetch_timeout``.
        detail: what happened to this one; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
