"""A prepared set: the videos of a public dataset as normalised clips, one a video, in a folder.

``clips/KEY.mp4`` are the clips, ``clips/KEY.json`` what became of each video, and ``held-out.json`` the list
of all, written last: a folder with it is complete.
"""

from pathlib import Path
from typing import Literal, NotRequired

from pydantic import TypeAdapter, ValidationError

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.evaluate.protocols.listing import PublicDataset
from pipelines.video import ClipSettings

INDEX = "held-out.json"
FORMAT: Literal[1] = 1


# The videos keep their size, up to this, and their rate: an evaluation scales the frames that it samples.
NORMALISED = ClipSettings(
    short_side=1080, small="keep", fps_max=240.0, max_clips=1, min_frames=1, crf=10, preset="veryfast"
)


class PreparedClip(TypedDict):
    """A clip: its frames, its size in pixels, its frames per second, and the sha256 of its source file."""

    key: str
    caption: str
    source: str
    frames: int
    height: int
    width: int
    fps: float
    source_sha256: str


class UnusableVideo(TypedDict):
    """A listed video without a clip, and why: ``missing_file``, ``no_caption`` or a rejection of ingest."""

    key: str
    reason: str
    detail: str


class Outcome(TypedDict):
    """What became of a video: exactly one of ``clip`` and ``unusable``.

    ``file`` is the size and time stamp of the video's file, by which a change is noticed.
    """

    file: list[int] | None
    clip: NotRequired[PreparedClip]
    unusable: NotRequired[UnusableVideo]


class PreparedSet(TypedDict):
    """``held-out.json``. ``digest`` identifies the clips with their captions, whatever the folder."""

    format: Literal[1]
    dataset: PublicDataset
    split: str
    prompts: str
    clips: list[PreparedClip]
    unusable: list[UnusableVideo]
    digest: str


_SET = TypeAdapter(PreparedSet)
_OUTCOME = TypeAdapter(Outcome)


class PreparedFolder:
    """The files of a prepared set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = Folder(path)

    def clip(self, key: str) -> Path:
        """The file of a clip."""
        return self.path / "clips" / f"{key}.mp4"

    def outcome(self, key: str) -> Outcome | None:
        """What became of a video; None if nothing is recorded, or the record is damaged."""
        name = f"clips/{key}.json"
        if not self._folder.exists(name):
            return None
        try:
            return _OUTCOME.validate_json(self._folder.read(name))
        except ValidationError:
            return None  # it is prepared again

    def write_outcome(self, key: str, outcome: Outcome) -> None:
        """Record what became of a video, once its clip is on disk."""
        self._folder.write(f"clips/{key}.json", canonical_json(outcome))

    def remove_index(self) -> None:
        """Mark the folder as incomplete."""
        self._folder.remove(INDEX)

    def write_index(self, content: PreparedSet) -> None:
        """Complete the folder."""
        self._folder.write(INDEX, canonical_json(content))


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a complete prepared set."""
    return (folder / INDEX).is_file()


def read_prepared(folder: Path) -> PreparedSet:
    """The list of a prepared set. Raises AnimaticError if it is damaged, or of a later version."""
    path = folder / INDEX
    try:
        content = _SET.validate_json(path.read_bytes())
    except ValidationError as error:
        raise AnimaticError(f"{path} is damaged: delete it and prepare the clips again") from error
    if content["digest"] != set_digest(content["clips"]):
        raise AnimaticError(f"{path} does not match its digest: delete it and prepare the clips again")
    return content


def set_digest(clips: list[PreparedClip]) -> str:
    """Identifies clips with their captions, in order, and how they were normalised."""
    listed = [[clip["key"], clip["caption"], clip["source_sha256"]] for clip in clips]
    return digest_of([NORMALISED.model_dump(mode="json"), listed])
