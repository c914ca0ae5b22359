"""What is kept of a skipped step: a small file of each process about its samples."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import AnimaticError
from core.files import write_text

SPIKE: Final = "loss above the limit"
Reason = Literal["loss above the limit", "loss not finite", "gradients not finite"]

_NAME = re.compile(r"step-(\d+)(?:-round-(\d+))?-rank-(\d+)\.json")
_RECORD = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class SampleDump(BaseModel):
    """A sample of a skipped step.

    Attributes:
        seed: of its noise and diffusion step.
        timestep: its diffusion step; -1 where the objective has none.
        condition_index: the frame that is its condition.
        fps: the network's rate input.
    """

    model_config = _RECORD

    key: str
    caption: str
    seed: int
    timestep: int
    loss: float
    drop_text: bool
    drop_image: bool
    condition_index: int
    fps: float


class StepDump(BaseModel):
    """A skipped step, as one process saw it.

    Attributes:
        data_round: of the data: number of times that the run had gone back.
        loss: mean of the global batch.
        limit: the largest loss with which it would have been applied; None for no limit.
        grad_norm: before clipping; not finite wherever the step was skipped.
        frames, height, width: of each sample, in pixels.
        samples: of this process, in the order of its batch.
    """

    model_config = _RECORD

    step: int
    data_round: int
    rank: int
    world_size: int
    reason: Reason
    loss: float
    limit: float | None
    grad_norm: float
    learning_rate: float
    frames: int
    height: int
    width: int
    samples: Sequence[SampleDump]

    @property
    def worst(self) -> SampleDump:
        """The sample with the largest loss; one that is not finite is larger than any."""
        return max(self.samples, key=lambda sample: (math.isnan(sample.loss), sample.loss))

    def name_of(self, rank: str) -> str:
        """The name of the file of this step by a process."""
        again = f"-round-{self.data_round}" if self.data_round else ""
        return f"step-{self.step:08d}{again}-rank-{rank}.json"


class Dumps:
    """The dumps of a process: the newest are kept."""

    def __init__(self, folder: Path, most: int) -> None:
        """``most``: number of dumps that a process keeps."""
        self._folder, self._most = folder, most

    def write(self, dump: StepDump) -> None:
        """Write a dump, then delete the process's oldest ones beyond those to keep. Raises OSError."""
        write_text(self._folder / dump.name_of(f"{dump.rank:05d}"), dump.model_dump_json(indent=2) + "\n")
        for path in self._own(dump.rank)[: -self._most]:
            path.unlink(missing_ok=True)

    def _own(self, rank: int) -> list[Path]:
        """Those of a process, oldest first."""
        found = [(match, path) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        own = [(int(match[2] or 0), int(match[1]), path) for match, path in found if int(match[3]) == rank]
        return [path for *_, path in sorted(own)]


def read_dump(path: Path) -> StepDump:
    """A dump. Raises AnimaticError where it cannot be read."""
    try:
        return StepDump.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise AnimaticError(f"{path} is missing: choose a file of the folder guard of a run") from error
    except (OSError, ValidationError) as error:
        raise AnimaticError(
            f"{path} is not the dump of a skipped step: {str(error).splitlines()[0]}; choose a file of the "
            "folder guard of a run"
        ) from error
