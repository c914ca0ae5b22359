"""Several steps of which each may find an error of the user, so that all errors are reported at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from core.errors import AnimaticError

Value = TypeVar("Value")


class Attempts:
    """Collects the errors of independent steps."""

    def __init__(self) -> None:
        self._errors: list[AnimaticError] = []

    def attempt(self, step: Callable[[], Value]) -> Value | None:
        """The result of a step; None where it raises an AnimaticError, which is kept."""
        try:
            return step()
        except AnimaticError as error:
            self.keep(error)
            return None

    def keep(self, error: AnimaticError) -> None:
        """An error that was found otherwise."""
        self._errors.append(error)

    def raise_any(self) -> None:
        """Raise the one error that was kept, or one that names all of them."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            numbered = "; ".join(f"({number}) {error}" for number, error in enumerate(self._errors, 1))
            raise AnimaticError(f"{len(self._errors)} problems: {numbered}")
