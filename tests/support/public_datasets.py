"""UCF-101 and MSR-VTT in miniature, in the layouts of their users: real videos of odd kinds."""

import json
from pathlib import Path

from tests.support.footage import ffmpeg, write_coded

# Names of UCF-101, of three classes and four groups.
UCF101 = (
    "v_ApplyEyeMakeup_g01_c01",
    "v_ApplyEyeMakeup_g01_c02",
    "v_ApplyEyeMakeup_g02_c01",
    "v_HandStandPushups_g01_c01",
    "v_YoYo_g07_c02",
)
FOLDERS = {"HandStandPushups": "HandstandPushups"}
FRAMES = 24


def ucf101_line(name: str) -> str:
    """A video's line in a test list."""
    label = name.split("_")[1]
    return f"{FOLDERS.get(label, label)}/{name}.avi"


def write_ucf101(folder: Path, names: tuple[str, ...] = UCF101, frames: int = FRAMES) -> Path:
    """Class folders of avi files (MPEG-4 with B-frames, 25 frames a second), and the lists of split 1."""
    coded = write_coded(folder.parent / "coded.mp4", range(frames))
    for name in names:
        path = folder / "UCF-101" / ucf101_line(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        ffmpeg(path, "-i", str(coded), "-c:v", "mpeg4", "-q:v", "2", "-bf", "1")
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "testlist01.txt").write_text("".join(f"{ucf101_line(name)}\r\n" for name in names[:4]))
    (lists / "trainlist01.txt").write_text(f"{ucf101_line(names[-1])} 101\n")
    return folder


def write_msrvtt(folder: Path, videos: int = 3, frames: int = FRAMES) -> Path:
    """``TestVideo/videoNNNN.mp4`` of odd kinds, and ``test_videodatainfo.json`` with two captions each."""
    (folder / "TestVideo").mkdir(parents=True)
    coded = write_coded(folder.parent / "coded.mp4", range(frames))
    # Rotated, of pixels that are not square, and at an odd rate.
    kinds = (
        ["-display_rotation", "90", "-i", str(coded), "-c", "copy"],
        ["-i", str(coded), "-vf", "setsar=2/1"],
        ["-i", str(coded), "-r", "30000/1001"],
    )
    for number in range(videos):
        path = folder / "TestVideo" / f"video{7010 + number}.mp4"
        ffmpeg(path, *kinds[number % len(kinds)])
    names = [f"video{7010 + number}" for number in range(videos)]
    annotations = {
        "info": {"year": "2016"},
        "videos": [
            {"id": n, "video_id": name, "split": "test", "url": f"https://v.example/{n // 2}", "category": 9}
            for n, name in enumerate(names)
        ],
        "sentences": [
            {"sen_id": 2 * n + second, "video_id": name, "caption": text}
            for n, name in enumerate(names)
            for second, text in enumerate((f"{name}  moves", f"a square moves in {name}"))
        ],
    }
    (folder / "test_videodatainfo.json").write_text(json.dumps(annotations))
    return folder
