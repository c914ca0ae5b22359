"""The rules for values that all verbs share, checked before a verb does anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from models.diffusion.settings import MAX_SEED

NUMBER_LIMIT = 2**31 - 1
FRACTION_LIMIT = 1e6
MAY_BE_EMPTY = ("prompt", "note")


class Verb(TyperCommand):
    """Refuses, as wrong usage: values that are empty, contain a NUL or are not UTF-8; numbers that are not
    finite, or larger than anything that they can count; seeds outside 0 to ``MAX_SEED``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # a context of typer's own copy of click
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.params:
            for text in _texts(given.get(parameter.name)):
                _check(ctx, parameter, _problem_of_text(text, parameter.name in MAY_BE_EMPTY))
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            _check(ctx, parameter, _problem_of_number(parameter.name, ctx.params.get(parameter.name)))
        return rest


def add_verbs(app: typer.Typer, panel: str, verbs: Sequence[Callable[..., None]]) -> None:
    """Add verbs to the command, in the ``panel`` of its help."""
    for verb in verbs:
        app.command(rich_help_panel=panel, cls=Verb)(verb)


def _texts(value: object) -> list[str]:
    """What the user wrote: a value, or those of a repeated option; nothing for flags."""
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str)]


def _check(ctx: Any, parameter: Any, problem: str | None) -> None:
    if problem is not None:
        raise typer.BadParameter(problem, ctx=ctx, param=parameter)


def _problem_of_text(text: str, may_be_empty: bool) -> str | None:
    if not text.strip() and not may_be_empty:
        return "it is empty: give a value, or leave it out"
    if "\0" in text:
        return "it contains a NUL character"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "it is not valid UTF-8"
    return None


def _problem_of_number(name: str, value: object) -> str | None:
    if isinstance(value, float) and not abs(value) <= FRACTION_LIMIT:  # nan is not
        return f"{value} is not a number between {-FRACTION_LIMIT:g} and {FRACTION_LIMIT:g}"
    if isinstance(value, int) and name == "seed" and not 0 <= value <= MAX_SEED:
        return f"{value} is not between 0 and {MAX_SEED}"
    if isinstance(value, int) and name != "seed" and abs(value) > NUMBER_LIMIT:
        return f"{value} is not between {-NUMBER_LIMIT} and {NUMBER_LIMIT}"
    return None
