"""UCF-101 (Soomro et al. 2012) as it is unpacked: folders of classes with ``v_CLASS_gNN_cNN.avi``, and lists
of splits in ``ucfTrainTestlist/``."""

import re
from pathlib import Path

from core.errors import AnimaticError
from pipelines.evaluate.protocols.listing import (
    ListedVideo,
    Listing,
    find_file,
    require_unique,
    videos_below,
)

DEFAULT_SPLIT = "testlist01"
SPLITS = (*(f"{kind}list0{number}" for kind in ("test", "train") for number in (1, 2, 3)), "all")
PROMPTS = "class name, words separated"

_NAME = re.compile(r"v_(?P<label>[A-Za-z]+)_g(?P<group>\d+)_c\d+")
# The one class whose files are spelled otherwise than its folder and its line of classInd.txt.
_SPELLINGS = {"HandStandPushups": "HandstandPushups"}


def list_ucf101(folder: Path, split: str = DEFAULT_SPLIT) -> Listing:
    """The videos of a split; ``all``: every video below ``folder``.

    The source of a clip is its group: the clips of a group are parts of one recording.

    Raises AnimaticError if there are no videos, the list is missing, or a name is not one of UCF-101.
    """
    if split not in SPLITS:
        raise AnimaticError(f"UCF-101 has no split {split!r}: pass one of {', '.join(SPLITS)}")
    files = videos_below(folder)
    keys = sorted(files) if split == "all" else _keys_of(folder, split)
    return Listing("ucf101", split, PROMPTS, [_video(key, files.get(key), folder) for key in keys])


def class_prompt(label: str) -> str:
    """The class as a prompt: ``ApplyEyeMakeup`` is "Apply Eye Makeup"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)


def _keys_of(folder: Path, split: str) -> list[str]:
    """The names in a list: lines of ``CLASS/NAME.avi``, and the class's number in lists for training."""
    path = find_file(folder, f"{split}.txt")
    if path is None:
        raise AnimaticError(
            f"{folder} contains no {split}.txt: unpack UCF-101's ucfTrainTestlist there, or pass --split all"
        )
    lines = path.read_text(errors="replace").splitlines()
    keys = [Path(line.split()[0]).stem for line in lines if line.strip()]
    if not keys:
        raise AnimaticError(f"{path} lists no videos: unpack it again")
    require_unique(keys, path)
    return keys


def _video(key: str, path: Path | None, folder: Path) -> ListedVideo:
    match = _NAME.fullmatch(key)
    if match is None:
        raise AnimaticError(
            f"{path or folder}: {key[:80]!r} is not a name of UCF-101 (v_CLASS_gNN_cNN): "
            "move other videos away"
        )
    label = _SPELLINGS.get(match["label"], match["label"])
    return ListedVideo(key, class_prompt(label), f"{label}_g{match['group']}", path)
