"""An object store that speaks S3, for the tests of this folder."""

from collections.abc import Iterator

import boto3
import fsspec
import pytest
import ray
from moto.server import ThreadedMotoServer

from tests.support.bucket import BUCKET


@pytest.fixture(scope="package")
def store() -> Iterator[None]:
    """An empty bucket on a server of this process; Ray's workers find it through their environment."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    ray.shutdown()  # workers of an earlier Ray have another environment
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            patch.delenv(variable, raising=False)
        fsspec.filesystem("s3").clear_instance_cache()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
        ray.shutdown()
    server.stop()
