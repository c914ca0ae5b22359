"""Errors that follow from the failure of another process."""

import pytest
from torch.distributed import DistBackendError, DistNetworkError

from training.processes.errors import PeerError, lost_peer


@pytest.mark.parametrize(
    "error",
    [
        PeerError("in process 1: KeyError: 'x'"),
        DistBackendError("NCCL error: remote process exited"),
        DistNetworkError("The client socket has failed to connect"),
        RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer"),
    ],
)
def test_a_broken_connection_and_a_report_follow_from_another_failure(error):
    assert lost_peer(error)


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("CUDA out of memory"), ConnectionError("to S3")]
)
def test_an_error_of_the_process_itself_does_not(error):
    assert not lost_peer(error)
