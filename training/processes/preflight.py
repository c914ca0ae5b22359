"""All processes of a run must run the same code with the same settings: they train one network together."""

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from core.canonical_json import digest_of
from core.code_version import code_version
from core.errors import AnimaticError
from training.config import RunConfig, config_hash
from training.processes.group import ProcessGroup

_SHORT = 12
_FIXES = {
    "code": "install the same version on all nodes",
    "python": "use the same environment on all nodes",
    "torch": "install requirements.lock on all nodes",
    "deepspeed": "install requirements.lock on all nodes",
    "settings": "pass the same configuration to all processes",
    "dataset": "let all nodes read the same files",
}


@dataclass(frozen=True)
class Setup:
    """What a process trains with; ``settings`` and ``dataset`` are digests. Compared in this order."""

    code: str
    python: str
    torch: str
    deepspeed: str
    settings: str
    dataset: str

    @classmethod
    def of(cls, config: RunConfig, dataset_digest: str) -> "Setup":
        """That of this process."""
        import deepspeed

        return cls(
            code=code_version(),
            python=platform.python_version(),
            torch=str(torch.__version__),
            deepspeed=str(deepspeed.__version__),
            # Validation decides no weights, but all processes take part in it.
            settings=digest_of([config_hash(config), config.validation.model_dump(mode="json")])[:_SHORT],
            dataset=dataset_digest[:_SHORT],
        )


def check_equal_setups(setup: Setup, group: ProcessGroup) -> None:
    """Compare the setups of all processes. Collective.

    Raises AnimaticError, in all of them, which names what differs, where, and the values.
    """
    setups = group.gathered((socket.gethostname(), setup))
    difference = _difference(setups)

    def refuse() -> None:
        if difference is not None:
            raise AnimaticError(difference)

    group.together(refuse)


def _difference(setups: Sequence[tuple[str, Setup]]) -> str | None:
    _, first = setups[0]
    for field in fields(Setup):
        expected = getattr(first, field.name)
        for rank, (host, setup) in enumerate(setups):
            found = getattr(setup, field.name)
            if found != expected:
                return (
                    f"the processes of this run differ in {field.name}: {expected} in process 0 on "
                    f"{setups[0][0]}, {found} in process {rank} on {host}; {_FIXES[field.name]}"
                )
    return None
