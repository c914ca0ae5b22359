"""How far each tracker has got with a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field

from core.errors import AnimaticError
from core.files import write_text


class MirrorState(BaseModel):
    """How far one tracker has got; kept in the run folder so that a replay delivers nothing twice.

    ``delivered`` holds the last step of each metric: after a resume a run repeats the steps since its last
    checkpoint, and the values of those are at the tracker already. ``rows`` counts the steps that were
    delivered, each as often as it was. ``facts`` is the digest of the facts that it displays, ``attached``
    that of each file by name.
    """

    target: str
    offset: int = 0
    # State files of earlier versions call it "told".
    delivered: dict[str, int] = Field({}, validation_alias=AliasChoices("delivered", "told"))
    run_id: str | None = None
    described: bool = False
    rows: int = 0
    facts: str = ""
    attached: dict[str, str] = {}

    @staticmethod
    def path(folder: Path, backend: str, target: str) -> Path:
        """One file per tracker and destination: a new server starts from the first line."""
        digest = hashlib.sha256(target.encode()).hexdigest()[:8]
        return folder / "tracking" / f"{backend}-{digest}.json"

    @classmethod
    def load(cls, path: Path, target: str) -> MirrorState:
        """The state in a file, or that of a tracker which has received nothing. Raises AnimaticError."""
        try:
            return cls.model_validate_json(path.read_text()) if path.exists() else cls(target=target)
        except ValueError as error:
            raise AnimaticError(
                f"{path} is damaged: delete it, and the run is delivered again from its first line"
            ) from error

    def save(self, path: Path) -> None:
        """Replace the file."""
        write_text(path, self.model_dump_json(indent=1))
