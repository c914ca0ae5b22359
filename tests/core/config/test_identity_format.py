"""What a digest is made of: the original fields always, later ones once they leave their default."""

import pytest
from pydantic import BaseModel, Field

from core.config.identity import IdentityFormat


class Item(BaseModel):
    size: int
    added: int = 0


class Inner(BaseModel):
    width: int = 1
    added: int = 0


class Config(BaseModel):
    name: str
    inner: Inner = Inner()
    optional: Inner | None = None
    later: Inner = Inner()
    items: list[Item] = []
    pairs: tuple[tuple[int, float], ...] = ((0, 1.0),)
    added: int = 0
    made: list[int] = Field(default_factory=lambda: [1])
    folder: str = "/a"
    alias: str = Field("none", exclude=True)


FORMAT = IdentityFormat(
    {
        "": ("name", "inner", "optional", "pairs"),
        "inner": ("width",),
        "optional": ("width",),
        "later": ("width",),
        "items": ("size",),
    },
    excluded={"folder"},
)
ORIGINAL = {"name": "a", "inner": {"width": 1}, "optional": None, "pairs": [[0, 1.0]]}


def test_original_fields_count_at_their_default_and_later_ones_do_not():
    assert FORMAT.values(Config(name="a")) == ORIGINAL


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({"added": 2}, {"added": 2}),
        ({"made": [1, 2]}, {"made": [1, 2]}),
        ({"inner": Inner(added=2)}, {"inner": {"width": 1, "added": 2}}),
        ({"optional": Inner()}, {"optional": {"width": 1}}),
        ({"later": Inner(added=2)}, {"later": {"width": 1, "added": 2}}),
        ({"later": Inner(width=2)}, {"later": {"width": 2}}),
        ({"items": [Item(size=1), Item(size=2, added=3)]}, {"items": [{"size": 1}, {"size": 2, "added": 3}]}),
    ],
)
def test_a_later_field_counts_once_it_leaves_its_default(changed, counted):
    assert FORMAT.values(Config(name="a", **changed)) == ORIGINAL | counted


def test_excluded_fields_never_count():
    assert FORMAT.values(Config(name="a", folder="/b", alias="some")) == ORIGINAL


def test_a_later_field_without_a_default_counts():
    class Stricter(Config):
        required: int

    assert FORMAT.values(Stricter(name="a", required=1)) == ORIGINAL | {"required": 1}
