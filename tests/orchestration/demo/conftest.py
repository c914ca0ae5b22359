"""What a finished demo leaves behind, made once for all tests that only read it."""

import pytest

from tests.support.demo_products import make_outputs


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory):
    """The outputs of a demo with films; a test that changes them copies them first."""
    return make_outputs(tmp_path_factory.mktemp("finished-demo"))
