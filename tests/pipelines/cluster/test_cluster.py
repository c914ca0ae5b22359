"""A Ray that does not start is reported in one line."""

import pytest
import ray

from core.errors import AnimaticError
from pipelines.cluster.connect import ensure_ray


def test_a_local_ray_that_does_not_start_is_a_clear_error(monkeypatch):
    def late(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.\nLong trace")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(AnimaticError, match=r"did not start .*timed out during startup\.\); .*try again$"):
        ensure_ray()
