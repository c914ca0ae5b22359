"""What a model writes, and the caption of it."""

import pytest

from pipelines.caption.text import clean_caption


@pytest.mark.parametrize(
    ("text", "prompt", "expected"),
    [
        ("  a dog\n runs \t up ", "", "a dog runs up"),
        ("Describe  it. A dog.", "describe it.", "A dog."),
        ("a picture of a dog", "a picture of", "a dog"),
        ("apple pie", "a", "apple pie"),
        ("a", "a", None),
        (" \n\u3000", "", None),
        ("", "x", None),
        ("a\0b \ud800c", "", "ab c"),
        ("red 红球 é", "", "red 红球 é"),
        ("one two three four", "", "one two three"),
        ("one two threefour five", "", "one two"),
        ("onetwothreefour", "", "onetwothreefou"),
    ],
)
def test_a_caption_is_one_line_without_the_prompt(text: str, prompt: str, expected: str | None) -> None:
    assert clean_caption(text, prompt, 14) == expected
