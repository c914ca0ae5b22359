"""What errors say of themselves."""

import pickle

from core.errors import RejectedError


def test_a_rejection_names_its_reason_and_detail() -> None:
    assert str(RejectedError("fetch_timeout", "120 seconds")) == "fetch_timeout: 120 seconds"
    assert str(RejectedError("empty_file")) == "empty_file"


def test_a_rejection_keeps_its_reason_between_processes() -> None:
    error = pickle.loads(pickle.dumps(RejectedError("too_large")))
    assert (error.reason, error.detail) == ("too_large", "")
