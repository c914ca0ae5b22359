"""Text of requests: UTF-8 that people write, of a bounded length."""

from __future__ import annotations

import unicodedata

from orchestration.serving.schema import ApiError

# Of fields other than the prompt, which are numbers, names and sizes.
MOST_SHORT = 200
_LONGEST_NAME = 60
_MAY_CONTAIN = "\t\n\r"


def decoded(field: str, content: bytes) -> str:
    """Text from UTF-8.

    Raises:
        ApiError: ``invalid_request``.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{field} is not UTF-8 (byte {error.start + 1})"
        raise ApiError("invalid_request", message, param=field) from error


def quotable(name: str) -> str:
    """The name of a field, for an error: short, and without what no answer can contain."""
    return name[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


def check_text(field: str, text: str, prompt_chars: int) -> None:
    """Refuse what is too long, and control characters, of which tabs and line ends are none here.

    Raises:
        ApiError: ``invalid_request``.
    """
    most = prompt_chars if field == "prompt" else MOST_SHORT
    if len(text) > most:
        raise _refused(field, f"has {len(text)} characters: at most {most}")
    for letter in text:
        kind = unicodedata.category(letter)
        if kind == "Cs":
            raise _refused(field, f"contains a lone surrogate (U+{ord(letter):04X}), which is no character")
        if kind == "Cc" and letter not in _MAY_CONTAIN:
            raise _refused(field, f"contains a control character (U+{ord(letter):04X}): leave it out")


def _refused(field: str, problem: str) -> ApiError:
    return ApiError("invalid_request", f"{field} {problem}", param=field)
