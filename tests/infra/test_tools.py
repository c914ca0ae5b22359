"""The programs of `make infra-check` find what they are for."""

import tomllib

import pytest

from tests.support.infra_tools import Tool, find, metric_names, promql_errors
from tests.support.paths import ROOT


def test_the_lock_has_hashes_and_names_no_index() -> None:
    lock = (ROOT / "tests/infra/requirements.lock").read_text()
    assert lock.count("==") > 6
    assert [line for line in lock.splitlines() if "==" in line and not line.endswith("\\")] == []
    assert "://" not in lock
    assert "--index-url" not in lock
    assert "--find-links" not in lock
    assert tomllib.loads((ROOT / "tests/infra/uv.toml").read_text())


def test_expressions_that_do_not_parse_are_named_with_the_reason() -> None:
    assert promql_errors(["rate(a[5m])", "sum by (node) (b) > 3"]) == {}
    errors = promql_errors(["a", "rate(a[5m]"])
    assert list(errors) == ["rate(a[5m]"]
    assert errors["rate(a[5m]"]


def test_the_metrics_of_an_expression_are_found_wherever_they_are() -> None:
    expression = "-(a - b{x='1'}) * on (j) sum by (z) (rate(c[5m] offset 1m)) > 3 or max_over_time(d[5m:1m])"
    assert metric_names([expression, "time()"]) == {expression: ["a", "b", "c", "d"], "time()": []}


def test_kubernetes_validate_refuses_an_unknown_field(kubernetes_validate: Tool) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: text}\n"
    kubernetes_validate.accepts("--strict", "-k", "1.34", "-", text=manifest)
    refused = kubernetes_validate("--strict", "-k", "1.34", "-", text=manifest.replace("data:", "dat:"))
    assert refused.returncode != 0
    assert "dat" in refused.stdout + refused.stderr


def test_a_program_that_is_not_installed_is_an_error_with_the_fix() -> None:
    with pytest.raises(AssertionError, match="no-such-program is not installed: run 'make infra-check'"):
        find("no-such-program")
