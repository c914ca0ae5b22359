"""The loader's public names: all importable, and settings without the libraries that use them."""

import subprocess
import sys

import pytest

import pipelines.loader

HEAVY = ("aiohttp", "decord", "pyarrow", "ray", "torch")


@pytest.mark.parametrize("name", pipelines.loader.__all__)
def test_every_public_name_exists(name):
    assert getattr(pipelines.loader, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Part'"):
        _ = pipelines.loader.Part


def test_settings_are_imported_without_heavy_libraries():
    names = "Bucket, CacheConfig, ClipSampling, Selection"
    code = (
        f"import sys; from pipelines.loader import {names}; print(*sorted(set(sys.modules) & {set(HEAVY)}))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == []
