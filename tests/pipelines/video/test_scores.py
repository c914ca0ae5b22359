"""The scores that filters use, and the hashes that identify duplicates."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from pipelines.dataset.duplicates import write_duplicates
from pipelines.ingest.filters import RECOMMENDED, FilterConfig
from pipelines.video.scores import Scores

SCORES = {"motion": 2.0, "brightness": 120.0, "text": 0.0, "aspect": 1.5}


def texture(seed: int, height: int = 256, width: int = 448) -> np.ndarray:
    """Smooth random luma, the same for the same seed."""
    small = np.random.default_rng(seed).integers(30, 200, (9, 15), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def wandering(seed: int, frames: int = 48) -> list[np.ndarray]:
    """The texture moving sideways."""
    wide = texture(seed, width=1200)
    return [wide[:, 8 * n : 8 * n + 448] for n in range(frames)]


def with_text(frames: list[np.ndarray], text: str, size: int, drift: int = 0) -> list[np.ndarray]:
    written = []
    for number, luma in enumerate(frames):
        image = Image.fromarray(luma)
        ImageDraw.Draw(image).text(
            (20 + drift * number, 200), text, fill=235, font=ImageFont.load_default(size)
        )
        written.append(np.asarray(image))
    return written


def scores(frames: list[np.ndarray], fps: float = 24) -> Scores:
    gathered = Scores(fps)
    for luma in frames:
        gathered.add(luma)
    return gathered


def test_overlaid_captions_are_distinguished_from_pictures() -> None:
    plain = wandering(1)
    assert scores(plain).text == 0
    assert scores([plain[0]] * 48).text == 0
    captioned = scores(with_text(plain, "THE QUICK BROWN FOX JUMPS OVER", 22))
    assert captioned.text > 0.02
    assert scores(with_text(plain, "THE QUICK BROWN FOX JUMPS OVER", 22, drift=3)).text == 0


def test_skipped_frames_change_no_score() -> None:
    every, some = Scores(24), Scores(24)
    for luma in wandering(2):
        every.add(luma)
        if some.wants_next():
            some.add(luma)
        else:
            some.skip()
    assert (every.motion, every.text, every.phash) == (some.motion, some.text, some.phash)
    assert every.motion > 1


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_motion": 3}, "too_still"),
        ({"max_motion": 1}, "too_restless"),
        ({"min_brightness": 130}, "too_dark"),
        ({"max_brightness": 90}, "too_bright"),
        ({"min_aspect": 1.6}, "too_narrow"),
        ({"max_aspect": 1.0}, "too_wide"),
        ({"min_seconds": 5}, "too_short"),
        ({"max_seconds": 3}, "too_long"),
        ({"max_text": 0.1, "max_motion": 9}, None),
    ],
)
def test_each_threshold_names_its_reason(limits: dict, reason: str | None) -> None:
    assert FilterConfig(**limits).reason(seconds=4.0, scores=SCORES) == reason
    assert FilterConfig(max_text=0.1).reason(seconds=4.0, scores=SCORES | {"text": 0.2}) == "overlaid_text"


def test_recommended_thresholds_apply_where_none_is_given() -> None:
    assert FilterConfig(like="recommended") == FilterConfig(**RECOMMENDED)
    some = FilterConfig.model_validate({"like": "recommended", "max_text": None, "min_motion": 1})
    assert (some.max_text, some.min_motion, some.min_aspect) == (None, 1, RECOMMENDED["min_aspect"])
    assert FilterConfig.model_validate_json(some.model_dump_json()) == some
    with pytest.raises(ValidationError):
        FilterConfig.model_validate({"like": "strict"})


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_hashes_of_one_clip_are_similar_and_of_others_different() -> None:
    clip = wandering(3)
    reference = scores(clip).phash
    assert len(reference) == 64
    noise = np.random.default_rng(0)
    grainy = [np.clip(f + noise.normal(0, 4, f.shape), 0, 255).astype(np.uint8) for f in clip]
    brighter = [(f * 0.9 + 20).astype(np.uint8) for f in clip]
    smaller = [np.asarray(Image.fromarray(f).resize((336, 192))) for f in clip]
    for alike in (grainy, brighter, smaller):
        assert distance(reference, scores(alike).phash) <= 12
    for seed in (4, 5, 6):
        assert distance(reference, scores(wandering(seed)).phash) > 60


def test_a_long_clip_is_hashed_from_all_of_it() -> None:
    first, second = wandering(7), wandering(8)
    long = [frame[::4, ::4] for frame in (first[0], second[0]) for _ in range(8 * 300)]
    hashed = scores(long, fps=8).phash
    parts = [hashed[16 * n : 16 * n + 16] for n in range(4)]
    assert parts[0] == parts[1] != parts[2] == parts[3]


def flipped(hashed: bytes, *bits: int) -> bytes:
    value = int.from_bytes(hashed, "big")
    for bit in bits:
        value ^= 1 << int(bit)
    return value.to_bytes(32, "big")


def find_duplicates(samples: pa.Table, distance: int) -> pa.Table:
    with tempfile.TemporaryDirectory() as folder:
        source, to = Path(folder) / "samples.parquet", Path(folder) / "duplicates.parquet"
        pq.write_table(samples, source)
        write_duplicates(source, to, distance)
        return pq.read_table(to)


def table(*hashes: bytes | None) -> pa.Table:
    return pa.table(
        {
            "key": [f"k{n}" for n in range(len(hashes))],
            "phash": pa.array([None if h is None else h.hex() for h in hashes], pa.string()),
        }
    )


def test_duplicates_belong_to_the_first_clip_that_is_not_one_itself() -> None:
    a, b = np.random.default_rng(0).bytes(32), np.random.default_rng(1).bytes(32)
    near, nearer = flipped(a, 3, 90, 200), flipped(a, 3, 90, 200, 17, 18, 19)
    found = find_duplicates(table(a, None, b, near, a, nearer, b), 3).to_pylist()
    assert found == [
        {"key": "k3", "duplicate_of": "k0", "distance": 3},
        {"key": "k4", "duplicate_of": "k0", "distance": 0},
        {"key": "k6", "duplicate_of": "k2", "distance": 0},
    ]
    assert find_duplicates(table(a, near, nearer), 6).column("duplicate_of").to_pylist() == ["k0", "k0"]
    assert len(find_duplicates(table(a, near), 2)) == 0
    assert len(find_duplicates(table(None, None), 5)) == len(find_duplicates(table(), 5)) == 0


@pytest.mark.parametrize("limit", [0, 1, 7, 20])
def test_every_similar_pair_is_found(limit: int) -> None:
    draw = np.random.default_rng(limit)
    centres = [draw.bytes(32) for _ in range(20)]
    hashes = [
        flipped(centres[draw.integers(20)], *draw.integers(0, 256, draw.integers(0, 24))) for _ in range(200)
    ]
    found = {row["key"]: row["duplicate_of"] for row in find_duplicates(table(*hashes), limit).to_pylist()}
    leaders: list[int] = []
    wanted = {}
    for n, hashed in enumerate(hashes):
        near = [i for i in leaders if distance(hashes[i].hex(), hashed.hex()) <= limit]
        if near:
            wanted[f"k{n}"] = f"k{near[0]}"
        else:
            leaders.append(n)
    assert found == wanted
    assert limit == 0 or wanted
