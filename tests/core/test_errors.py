"""What errors say of themselves."""

import pickle

from core.errors import RejectedError, last_line


def test_a_rejection_names_its_reason_and_detail() -> None:
    assert str(RejectedError("fetch_timeout", "120 seconds")) == "fetch_timeout: 120 seconds"
    assert str(RejectedError("empty_file")) == "empty_file"


def test_a_rejection_keeps_its_reason_between_processes() -> None:
    error = pickle.loads(pickle.dumps(RejectedError("too_large")))
    assert (error.reason, error.detail) == ("too_large", "")


def test_the_last_line_of_an_error_is_its_cause_or_its_type() -> None:
    assert last_line(ValueError("Traceback …\n  File x\n  ValueError: y \n\n")) == "ValueError: y"
    assert last_line(OSError()) == "OSError"
    assert len(last_line(ValueError("y" * 1000))) == 300
