"""Layers of a configuration: what overrides what, what is parsed, and what each mistake is reported as."""

import re
from pathlib import Path

import pytest
from pydantic import Field

from core.config.layers import fill, merged, nested
from core.config.section import Section
from core.config.validation import configure, validate
from core.errors import AnimaticError


class Fetch(Section):
    attempts: int = Field(3, ge=1)
    timeout_s: float = 1.0


class Job(Section):
    source: str
    name: str = "job"
    fetch: Fetch = Fetch()
    extra: Fetch | None = None
    sizes: tuple[int, ...] = ()


def test_files_values_and_assignments_override_each_other_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("source: file\nname: file\nfetch: {attempts: 5, timeout_s: 5}\nsizes: [1, 2]\n")
    job = configure(
        Job,
        files=[file],
        values={"name": "value", "fetch.attempts": 6},
        sets=["fetch.attempts=7", "sizes=[3]"],
    )
    assert job == Job(
        source="file", name="value", fetch=Fetch(attempts=7, timeout_s=5), extra=None, sizes=(3,)
    )


@pytest.mark.parametrize("source", ["/data/x #2", "2024", "a: b", "null", "'quoted'", "[1]", "é\n"])
def test_values_are_never_parsed(source: str) -> None:
    assert configure(Job, values={"source": source}).source == source


def test_a_model_as_a_value_can_be_changed_by_assignments() -> None:
    values = {"source": "a", "extra": Fetch(timeout_s=9)}
    assert configure(Job, values=values, sets=["extra.attempts=4"]).extra == Fetch(attempts=4, timeout_s=9)


def test_null_removes_a_section_and_a_later_key_brings_it_back() -> None:
    assert merged([{"extra": {"attempts": 2}}, {"extra": None}]) == {"extra": None}
    assert merged([{"extra": None}, nested({"extra.attempts": 2})]) == {"extra": {"attempts": 2}}


def test_merging_leaves_the_layers_unchanged() -> None:
    base = {"fetch": {"attempts": 1}}
    assert merged([base, {"fetch": {"attempts": 2}}]) == {"fetch": {"attempts": 2}}
    assert base == {"fetch": {"attempts": 1}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("name", "'name' is not an assignment"),
        ("=1", "'=1' is not an assignment"),
        ("name=[", "not valid YAML: put it in one more pair of quotes"),
        ("fetch.attempt=1", "unknown configuration key 'fetch.attempt': did you mean 'fetch.attempts'"),
        ("attempts=1", "did you mean 'fetch.attempts'"),
        ("fetch=1", "'fetch' is a section"),
        ("fetch.attempts=0", r"fetch.attempts: .*greater than or equal to 1 \(got 0\)"),
        ("fetch.attempts=many", r"fetch.attempts: .*integer.* \(got 'many'\)"),
        ("sizes=[1, a]", "sizes.1: .*integer"),
    ],
)
def test_a_mistake_is_reported_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(AnimaticError, match=message) as caught:
        configure(Job, values={"source": "a"}, sets=[assignment])
    assert "\n" not in str(caught.value)


def test_all_unfit_values_are_reported_at_once() -> None:
    with pytest.raises(
        AnimaticError, match=r"^invalid configuration: source: Field required; fetch.attempts: "
    ):
        validate(Job, {"fetch": {"attempts": 0}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n", "must contain sections of keys, not a list"),
        (b"a: [\n", "is not valid YAML"),
        (b"a: \xff\n", "is not valid YAML"),
        (b"a: {b: 1}\na: {b: 2}\n", "is not valid YAML: the key 'a' occurs twice in .* line 2"),
        (b"a: {b: 1, b: 2}\n", "is not valid YAML: the key 'b' occurs twice"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(AnimaticError, match=f"own.yaml {message}"):
        configure(Job, files=[file])


def test_fixed_values_are_set_and_contradictions_reported() -> None:
    target = {"extra": None}
    fill(target, {"extra.attempts": 2, "name": "a"}, {"name": "a"}, fixed_by="the stage")
    assert target == {"extra": {"attempts": 2}, "name": "a"}
    with pytest.raises(AnimaticError, match="name cannot be 'b': the stage sets name to 'a'"):
        fill({}, {"name": "a"}, {"name": "b"}, fixed_by="the stage")
    with pytest.raises(AnimaticError, match=r"extra cannot be None: the stage sets extra.attempts to 2"):
        fill({}, {"extra.attempts": 2}, {"extra": None}, fixed_by="the stage")


class Item(Section):
    dataset: str
    fetch: Fetch = Fetch()


class WithItems(Section):
    others: list[Item] = Field([])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{datset: a}", "unknown configuration key 'others.1.datset': did you mean 'others.1.dataset'?"),
        ("{dataset: a, fetch: {attemps: 1}}", "did you mean 'others.1.fetch.attempts'?"),
        ("{dataset: a, attempts: 1}", "'others.1.attempts': did you mean 'others.1.fetch.attempts'?"),
        ("{dataset: a, fetch: 3}", "'others.1.fetch' is a section"),
        ("{dataset: a, fetch: {attempts: 0}}", "others.1.fetch.attempts: Input should be greater"),
    ],
)
def test_a_mistake_in_an_item_of_a_list_is_reported_like_any_other(item: str, message: str) -> None:
    with pytest.raises(AnimaticError, match=re.escape(message)):
        configure(WithItems, sets=[f"others=[{{dataset: b}}, {item}]"])
    others = configure(WithItems, sets=["others=[{dataset: b, fetch: {attempts: 4}}]"]).others
    assert others == [Item(dataset="b", fetch=Fetch(attempts=4))]


class WithMappings(Section):
    limits: dict[str, float] = Field({})
    parts: dict[str, Fetch] = Field({})


def test_keys_of_a_mapping_are_the_users_own() -> None:
    values = {"limits": {"a": 1, "any.name": 2}, "parts": {"b": {"attempts": 5}}}
    config = validate(WithMappings, values)
    assert config.limits == {"a": 1, "any.name": 2}
    assert config.parts == {"b": Fetch(attempts=5)}


def test_a_mistake_in_a_section_of_a_mapping_is_reported_like_any_other() -> None:
    with pytest.raises(AnimaticError, match=r"'parts\.b\.atempts': did you mean 'parts\.b\.attempts'\?"):
        validate(WithMappings, {"parts": {"b": {"atempts": 5}}})
    with pytest.raises(AnimaticError, match=r"limits\.a: Input should be a valid number"):
        validate(WithMappings, {"limits": {"a": "much"}})
