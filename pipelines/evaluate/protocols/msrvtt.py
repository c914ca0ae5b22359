"""MSR-VTT (Xu et al. 2016) as its users have it: ``videoNNNN.mp4`` anywhere below a folder, and one of
several files with ``videos`` and ``sentences``."""

from pathlib import Path
from typing import Literal, NotRequired

from pydantic import TypeAdapter, ValidationError

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

from core.errors import AnimaticError
from pipelines.evaluate.protocols.listing import (
    ListedVideo,
    Listing,
    find_file,
    require_unique,
    videos_below,
)

DEFAULT_SPLIT = "test"
SPLITS = ("test", "validate", "train", "all")
CaptionRule = Literal["first", "longest"]
# In the order in which they are looked for: the release of the test set, of the challenge, of later work.
ANNOTATIONS = (
    "test_videodatainfo.json",
    "videodatainfo.json",
    "MSRVTT_data.json",
    "train_val_videodatainfo.json",
)


class _Video(TypedDict):
    video_id: str
    split: NotRequired[str]
    url: NotRequired[str]


class _Sentence(TypedDict):
    video_id: str
    caption: str


class _Annotations(TypedDict):
    videos: list[_Video]
    sentences: list[_Sentence]


_ANNOTATIONS = TypeAdapter(_Annotations)


def list_msrvtt(folder: Path, split: str = DEFAULT_SPLIT, captions: CaptionRule = "first") -> Listing:
    """The videos of a split; ``all``: every video of the annotations.

    A video has about 20 captions: its prompt is the first in the file, or the longest (the first of equals),
    and empty if it has none.
    The source of a clip is the video that it was cut from, where the annotations have its URL.

    Raises AnimaticError if there are no videos, no annotations, or none of the split.
    """
    if split not in SPLITS:
        raise AnimaticError(f"MSR-VTT has no split {split!r}: pass one of {', '.join(SPLITS)}")
    files = videos_below(folder)
    path = _annotations_in(folder)
    annotations = _read(path)
    chosen = [video for video in annotations["videos"] if split in ("all", video.get("split", split))]
    if not chosen:
        present = sorted({video.get("split", "") for video in annotations["videos"]})
        raise AnimaticError(f"{path} has no videos of split {split}; it has {', '.join(present) or 'none'}")
    require_unique([video["video_id"] for video in chosen], path)
    prompts = _prompts(annotations["sentences"], captions)
    videos = [_video(video, prompts, files) for video in chosen]
    rule = f"{captions} of the captions in {path.name}"
    return Listing("msrvtt", split, rule, videos)


def _annotations_in(folder: Path) -> Path:
    for name in ANNOTATIONS:
        path = find_file(folder, name)
        if path is not None:
            return path
    raise AnimaticError(
        f"{folder} contains no annotations of MSR-VTT: copy one of {', '.join(ANNOTATIONS)} there"
    )


def _read(path: Path) -> _Annotations:
    try:
        annotations = _ANNOTATIONS.validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise AnimaticError(f"{path} is not annotations of MSR-VTT: {where}: {problem['msg']}") from error
    for video in annotations["videos"]:
        if not video["video_id"].replace("_", "").replace("-", "").isalnum():
            raise AnimaticError(f"{path}: {video['video_id'][:80]!r} cannot be the name of a video")
    return annotations


def _prompts(sentences: list[_Sentence], rule: CaptionRule) -> dict[str, str]:
    """The prompt of each video that has a caption."""
    captions: dict[str, list[str]] = {}
    for sentence in sentences:
        caption = " ".join(sentence["caption"].split())
        if caption:
            captions.setdefault(sentence["video_id"], []).append(caption)
    if rule == "first":
        return {video: each[0] for video, each in captions.items()}
    return {video: max(each, key=len) for video, each in captions.items()}


def _video(video: _Video, prompts: dict[str, str], files: dict[str, Path]) -> ListedVideo:
    key = video["video_id"]
    return ListedVideo(key, prompts.get(key, ""), video.get("url") or key, files.get(key))
