"""Where Ray puts its sockets: paths that it cannot use are named with their variable."""

import pytest

from core.errors import AnimaticError
from pipelines.cluster.temporary_folder import check_temporary_folder


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_path_too_long_for_sockets_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, "/tmp/" + "x" * 79)
    with pytest.raises(
        AnimaticError, match=f"^{name}=/tmp/x+ is too long for Ray's sockets: 84 bytes, .*RAY_TMPDIR"
    ):
        check_temporary_folder()


def test_a_temporary_folder_below_a_file_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc/version/ray")
    with pytest.raises(AnimaticError, match="RAY_TMPDIR: /proc/version/ray cannot be written to"):
        check_temporary_folder()


def test_a_usable_folder_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    check_temporary_folder()
    monkeypatch.delenv("TMPDIR")
    check_temporary_folder()
