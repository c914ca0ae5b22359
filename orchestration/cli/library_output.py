"""What libraries print while a verb works: plain lines on stderr, and few words of Ray."""

from __future__ import annotations

import io
import re
import sys
import threading

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Ray lists possible reasons after the first line; ours are in docs/clusters.md.
_LOST = re.compile(r"\(raylet\) The node with node id: \S+ and address: (\S+) .* has been marked dead")
_REASONS = re.compile(r"\t\(\d\) ")
# Ray appends the end of a log, indented; what uses Ray reports its end in a line of its own.
_DIED = re.compile(r"\(raylet\) Raylet is terminated")
_LOG = re.compile(r" {4}|$")


class LibraryOutput(io.TextIOBase):
    """A stream that writes whole lines to stderr; any thread may print to it."""

    def __init__(self) -> None:
        self._rest, self._lock = "", threading.Lock()
        self._after_loss, self._after_death = False, False

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        """That of stderr."""
        return None if sys.stderr is None else sys.stderr.encoding

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Write the lines that are complete."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._pass_on(line)
        return len(text)

    def close(self) -> None:
        """Write the last line, if it has no end."""
        if self._rest:
            self.write("\n")
        super().close()

    def _pass_on(self, line: str) -> None:
        plain = _COLOURS.sub("", line)
        lost = _LOST.match(plain)
        is_reason = self._after_loss and _REASONS.match(plain) is not None
        self._after_loss = lost is not None or is_reason
        self._after_death = _DIED.match(plain) is not None or (
            self._after_death and _LOG.match(plain) is not None
        )
        if is_reason or self._after_death or sys.stderr is None:
            return
        if lost:
            plain = f"Ray lost the node {lost[1]}: its processes ended, or it does not answer"
        sys.stderr.write(f"{plain}\n")
        sys.stderr.flush()
