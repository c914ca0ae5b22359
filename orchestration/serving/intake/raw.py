"""Fields of a request before they are checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.serving.intake.text import quotable
from orchestration.serving.schema import PICTURES, ApiError


@dataclass
class RawFields:
    """``values`` by name; ``pictures`` by name, each as the bytes of a file or the text of a data: URL."""

    values: dict[str, object] = field(default_factory=dict)
    pictures: dict[str, bytes | str] = field(default_factory=dict)

    def add(self, name: str, value: object) -> None:
        """Add a field.

        Raises:
            ApiError: ``invalid_request`` for one that is there, ``invalid_image`` for a picture that is
                neither bytes nor text.
        """
        if name in self.values or name in self.pictures:
            raise given_twice(name)
        if name not in PICTURES:
            self.values[name] = value
        elif isinstance(value, bytes | str):
            self.pictures[name] = value
        else:
            message = f"{name} is neither a data: URL nor an object with image_url"
            raise ApiError("invalid_image", message, param=name)


def given_twice(name: str) -> ApiError:
    """The error about a field that a request has twice."""
    return ApiError("invalid_request", f"{quotable(name)} is given twice", param=quotable(name))
