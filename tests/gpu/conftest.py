"""Tests that need a CUDA device; they are skipped on machines without one."""

import pytest
import torch

from tests.support.process_group import Workers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "tests/gpu/" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def on_gpu(tmp_path_factory):
    """One process with a GPU, a group of its own."""
    with Workers(1, tmp_path_factory.mktemp("gpu"), gpus=True) as workers:
        yield workers


@pytest.fixture(scope="session")
def on_cpu(tmp_path_factory):
    """One process without, for the same on the CPU."""
    with Workers(1, tmp_path_factory.mktemp("cpu")) as workers:
        yield workers


@pytest.fixture
def exact_float32():
    """Convolutions and products without TF32, whose 10 bits of mantissa are off by 1e-3."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield
