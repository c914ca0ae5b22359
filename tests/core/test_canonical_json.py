"""The bytes of every form are pinned: recorded digests depend on them."""

import pytest

from core.canonical_json import (
    CANONICAL,
    COMPACT_ESCAPED,
    INDENTED_ESCAPED,
    SPACED_ESCAPED,
    JsonForm,
    canonical_json,
    digest_of,
)

VALUE = {"z": [1, 2.5, None, True], "a": {"ü": "é\n", "b": []}, "e": {}}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (CANONICAL, '{"a":{"b":[],"ü":"é\\n"},"e":{},"z":[1,2.5,null,true]}'),
        (COMPACT_ESCAPED, '{"a":{"b":[],"\\u00fc":"\\u00e9\\n"},"e":{},"z":[1,2.5,null,true]}'),
        (SPACED_ESCAPED, '{"a": {"b": [], "\\u00fc": "\\u00e9\\n"}, "e": {}, "z": [1, 2.5, null, true]}'),
        (
            INDENTED_ESCAPED,
            '{\n  "a": {\n    "b": [],\n    "\\u00fc": "\\u00e9\\n"\n  },\n  "e": {},\n'
            '  "z": [\n    1,\n    2.5,\n    null,\n    true\n  ]\n}',
        ),
    ],
)
def test_the_bytes_of_a_form(form: JsonForm, expected: str) -> None:
    assert form.encode(VALUE).decode() == expected


def test_a_digest_is_of_the_canonical_bytes_whatever_the_order_of_keys() -> None:
    assert canonical_json(VALUE) == CANONICAL.encode(VALUE)
    assert digest_of({"b": 1, "a": "é"}) == digest_of({"a": "é", "b": 1})
    assert digest_of([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert digest_of(VALUE) != SPACED_ESCAPED.digest(VALUE)
