"""A service for each test, and one for the tests of a module that change nothing of it."""

from collections.abc import Iterator

import pytest

from tests.support.serving_api import ApiService, api_service


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiService]:
    """As ``service``, for tests that leave it as it is."""
    with api_service(tmp_path_factory.mktemp("shared")) as service:
        service.report()
        yield service


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiService]:
    """The API, with a replica that serves the champion."""
    with api_service(tmp_path_factory.mktemp("service")) as service:
        service.report()
        yield service
