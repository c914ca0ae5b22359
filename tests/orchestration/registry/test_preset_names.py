"""A preset that neither this version nor the ledger has is refused wherever one is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.registry import Draft, Ledger
from orchestration.registry.selection import champion_bundle, named_bundle, newest_final_bundle

ASK: dict[str, Callable[[Ledger, str], object]] = {
    "the champion": champion_bundle,
    "the newest": newest_final_bundle,
    "a named one": lambda ledger, preset: named_bundle(ledger, "abcdef", preset),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path)
    ledger.append(Draft("accepted", "a" * 64, tmp_path / "a", 2, "our-own"))
    return ledger


@pytest.mark.parametrize("asked", ASK)
def test_an_unknown_preset_is_refused_with_the_nearest_name(ledger: Ledger, asked: str) -> None:
    with pytest.raises(AnimaticError, match=r"preset 'tinny' does not exist.*'tiny'"):
        ASK[asked](ledger, "tinny")


@pytest.mark.parametrize("preset", ["tiny", "our-own"])
@pytest.mark.parametrize("asked", ASK)
def test_presets_of_this_version_and_of_the_ledger_exist(ledger: Ledger, asked: str, preset: str) -> None:
    with pytest.raises(AnimaticError, match=r"no champion of preset|no stage-3 bundle of preset|abcdef"):
        ASK[asked](ledger, preset)
