"""How one row, file or clip is turned away without stopping the rest."""


class RejectedError(Exception):
    """The file, or a clip of it, cannot be used: a reason in one word and a detail for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
