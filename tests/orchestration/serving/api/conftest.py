"""One service for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.support.serving_api import ApiService, api_service


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiService]:
    """The API, with a replica that serves the champion."""
    with api_service(tmp_path_factory.mktemp("service")) as service:
        service.report()
        yield service
