"""The protocol ``held-out``: samples of a dataset, or a folder of mp4 files with captions beside them."""

import functools
import hashlib
from pathlib import Path

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.evaluate.clips import HeldOutClip, HeldOutSet
from pipelines.video.frames import ClipShape, UndecodableError, describe_clip

_PROMPTS = "the clip's caption"


def open_held_out(location: str) -> HeldOutSet:
    """Open a dataset (folder or URL), or a folder with NAME.mp4 and NAME.txt, its caption, for each clip.

    Raises AnimaticError if there are no clips, a caption is missing, or a file is not a video.
    """
    folder = Path(location)
    if folder.is_dir() and not (folder / "dataset.json").exists() and any(folder.glob("*.mp4")):
        return _open_folder(folder)
    return _open_dataset(Dataset.open(location))


def _open_dataset(dataset: Dataset) -> HeldOutSet:
    columns = ["key", "caption", "frames", "height", "width", "fps", "source_id"]
    clips = [
        HeldOutClip(
            key=row["key"],
            caption=row["caption"],
            shape=ClipShape(row["frames"], row["height"], row["width"], row["fps"]),
            mp4=functools.partial(dataset.read, number, "mp4"),
            source=row["source_id"],
        )
        for number, row in enumerate(dataset.samples.select(columns).to_pylist())
    ]
    return HeldOutSet(dataset.digest, clips, _PROMPTS)


def _open_folder(folder: Path) -> HeldOutSet:
    clips, fingerprint = [], hashlib.sha256()
    for path in sorted(folder.glob("*.mp4")):
        text, mp4 = path.with_suffix(".txt"), path.read_bytes()
        if not text.exists():
            raise AnimaticError(f"held-out clip {path} has no caption: write it to {text.name} beside it")
        try:
            caption = text.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise AnimaticError(
                f"{text} is not UTF-8 text (byte {error.start}): store it as UTF-8"
            ) from error
        try:
            shape = describe_clip(mp4)
        except UndecodableError as error:
            raise AnimaticError(f"{path} is not a video that can be decoded: {error}") from error
        fingerprint.update(f"{path.stem}\0{caption}\0{hashlib.sha256(mp4).hexdigest()}\n".encode())
        clips.append(HeldOutClip(path.stem, caption, shape, path.read_bytes, source=path.stem))
    return HeldOutSet(fingerprint.hexdigest(), clips, _PROMPTS)
