"""An object store that speaks S3, for the tests of this folder."""

from collections.abc import Iterator

import pytest
import ray
from moto.server import ThreadedMotoServer

from tests.support.bucket import bucket


@pytest.fixture(scope="package")
def store() -> Iterator[None]:
    """An empty bucket on a server of this process; Ray's workers find it through their environment."""
    ray.shutdown()  # workers of an earlier Ray have another environment
    with bucket(ThreadedMotoServer("127.0.0.1", port=0, verbose=False)):
        yield
        ray.shutdown()
