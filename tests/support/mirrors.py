"""Changes of the ledger without MLflow, whose import takes longer than they do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_mirror() -> Iterator[None]:
    """Inside, MLflow's registry is not brought up to date."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.registry.mirror_change", lambda *_: None)
        yield
