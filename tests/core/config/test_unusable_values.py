"""Values that a type admits and no setting can mean are refused where a user chooses them."""

import pytest

from core.config.section import Section
from core.config.validation import configure, validate
from core.errors import AnimaticError


class Part(Section):
    weights: list[tuple[int, float]] = [(0, 1.0)]  # noqa: RUF012
    limit: float | None = None


class Job(Section):
    source: str = "a"
    part: Part = Part()


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400", "'inf'"])
def test_numbers_that_are_not_finite_are_refused_with_their_key(value: str) -> None:
    with pytest.raises(AnimaticError, match=r"part\.limit: Input should be a finite number"):
        configure(Job, sets=[f"part.limit={value}"])
    with pytest.raises(AnimaticError, match=r"part\.weights\.1\.1: Input should be a finite number"):
        configure(Job, sets=[f"part.weights=[[0, 1], [5, {value}]]"])


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_text_that_no_file_can_contain_is_refused(text: str) -> None:
    with pytest.raises(AnimaticError, match="source: Input should be text without NUL"):
        configure(Job, values={"source": text})


def test_what_an_earlier_version_recorded_is_still_read() -> None:
    assert validate(Job, {"part": {"limit": float("inf")}}).part.limit == float("inf")
    assert configure(Job, values={"source": " é 红 \n", "part.limit": -1.5}).part.limit == -1.5
