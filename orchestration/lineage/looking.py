"""Looking at what may have been deleted, changed, or be out of reach, within seconds and without raising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from core.deadline import within
from core.errors import AnimaticError
from core.storage import StoreError
from core.urls import is_url, without_credentials
from orchestration.lineage.records import State
from pipelines.dataset.record_files import DamagedRecordError

T = TypeVar("T")
LIMIT_S = 5.0
# A store from which less arrives counts as one that does not answer.
SLOWEST_BYTES_PER_S = 1 << 20


@dataclass(frozen=True)
class Check:
    """The state of one thing, and the reason in one line."""

    state: State
    reason: str = ""

    @classmethod
    def of_problems(cls, problems: list[str]) -> Check:
        """``changed``, with the first problem and the number of all, if there is one."""
        if not problems:
            return cls("verified")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls("changed", f"{problems[0]}{more}")


class Looker:
    """Calls what reads files and URLs; a store that did not answer once is not asked again."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._silent = set[str]()

    def look(
        self, location: str, call: Callable[[], T], *, absent: State = "unreachable", size: int = 0
    ) -> T | Check:
        """What ``call`` returns, or why it cannot be known.

        Args:
            location: that it reads; calls for URLs are bounded in time.
            absent: the state where it raises an AnimaticError that is no error of a store.
            size: bytes that it reads, for which the time is extended.
        """
        store = urlsplit(location).netloc if is_url(location) else ""
        if store and store in self._silent:
            return Check("unreachable", "its store did not answer before")
        limit_s = self._limit_s + size / SLOWEST_BYTES_PER_S
        try:
            return within(limit_s, call) if is_url(location) else call()
        except TimeoutError as error:
            self._silent.add(store)
            return Check("unreachable", str(error))
        except FileNotFoundError:
            return Check("missing", "it is not there any more")
        except DamagedRecordError as error:
            return Check("changed", _line(error))
        except (StoreError, OSError) as error:
            return Check("unreachable", _line(error))
        except AnimaticError as error:
            return Check(absent, _line(error))


def _line(error: Exception) -> str:
    return " ".join(without_credentials(str(error)).split())
