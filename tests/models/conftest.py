"""A whole animator at the smallest size."""

import pytest

from models.architecture import Architecture
from tests.support.small_animator import small_architecture


@pytest.fixture
def small() -> Architecture:
    return small_architecture()
