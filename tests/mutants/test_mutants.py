"""The mutants fit the code as it is, and the run counts what tests notice."""

import tomllib
from pathlib import Path

import pytest

from tests.mutants.listed import FOLDER, listed_mutants
from tests.mutants.made import made_mutants
from tests.mutants.mutant import Mutant
from tests.mutants.packages import PACKAGES
from tests.mutants.score import Outcome, Scores
from tests.support.paths import ROOT
from training.config import RunConfig

SETTINGS = ("ablation", "optimizer", "train", "objective", "guard")


def test_every_listed_mutant_fits_the_code_and_names_tests_that_exist() -> None:
    mutants = listed_mutants(ROOT)
    names = [mutant.name for mutant in mutants]
    assert len(mutants) > 100
    assert len(set(names)) == len(names)
    assert [test for mutant in mutants for test in mutant.tests if not (ROOT / test).exists()] == []


def test_every_setting_that_decides_weights_or_guides_the_loop_has_a_mutant_that_ignores_it() -> None:
    entries = tomllib.loads((FOLDER / "settings.toml").read_text())["mutant"]
    ignored = {entry["what"].split()[0] for entry in entries}
    sections = {name: field.annotation for name, field in RunConfig.model_fields.items() if name in SETTINGS}
    settings = {f"{name}.{field}" for name, section in sections.items() for field in section.model_fields}
    assert settings == ignored


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_have_files_and_tests(package: str) -> None:
    files = PACKAGES[package].paths(ROOT)
    assert files
    assert all((ROOT / test).exists() for test in PACKAGES[package].tests)
    assert any(made_mutants(ROOT, file, ("t",)) for file in files)


SOURCE = '''"""Text: 1 < 2."""

def f(x: int = 3, *, on: bool = True) -> int:
    """More text."""
    ünicode = "ü" if x < 4 and on else "no"
    if not on:
        log.info("%d", 1)
        raise ValueError(f"{x + 1}")
    f.call(x)
    x += 1
    return x - 1
'''


def test_mutants_are_made_of_operators_constants_conditions_and_calls(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(SOURCE)
    found = {(m.original, m.replacement) for m in made_mutants(tmp_path, "m.py", ())}
    assert found == {
        ("3", "4"),
        ("True", "False"),
        ("x < 4 and on", "(x < 4 or on)"),
        ("x < 4 and on", "(not (x < 4 and on))"),
        ("x < 4", "(x <= 4)"),
        ("4", "5"),
        ("not on", "(on)"),
        ("f.call(x)", "pass"),
        ("x += 1", "x -= 1"),
        ("1", "2"),
        ("x - 1", "(x + 1)"),
    }
    for mutant in made_mutants(tmp_path, "m.py", ()):
        compile(mutant.applied(SOURCE), "m.py", "exec")
        assert mutant.applied(SOURCE) != SOURCE


def test_a_mutant_of_other_code_is_not_applied() -> None:
    mutant = Mutant("name", "m.py", 0, "a < b", "a <= b", ())
    assert mutant.applied("a < b\n") == "a <= b\n"
    with pytest.raises(ValueError, match=r"m\.py has changed"):
        mutant.applied("b < a\n")


def test_the_score_leaves_out_what_cannot_be_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    mutant, scores = Mutant("name", "m.py", 0, "a", "b", ()), Scores()
    for state in ("noticed", "noticed", "noticed", "noticed", "survived", "equivalent"):
        scores.add("package", 0.8, Outcome(mutant, state))
    assert scores.sufficient
    scores.print_table()
    assert "| package | 4 | 1 | 1 | 80% | 80% |" in capsys.readouterr().out
    scores.add("package", 0.8, Outcome(mutant, "survived"))
    assert not scores.sufficient
