"""The demo's footage: the same every time, honestly captioned, and held out where it says so."""

import csv
from collections import Counter

import av
import numpy as np
import pytest

from orchestration.demo import films, footage
from orchestration.demo.collection import HELD_OUT_SEED, TRAINING_SEED, Amounts, Collection, write_collection
from pipelines.evaluate.metrics import caption_direction, detect_motion

AMOUNTS = Amounts(rendered=6, held_out_each=1)


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Collection:
    made = Collection(tmp_path_factory.mktemp("footage"))
    write_collection(made, AMOUNTS, lambda done, total: None)
    return made


def rows(table) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_are_webvids_and_name_every_video(collection):
    training, held_out = rows(collection.training), rows(collection.held_out)
    assert list(training[0]) == ["videoid", "contentUrl", "duration", "page_dir", "name"]
    assert len(training) == 6 + len(films.TRAINING) + 3
    assert len(held_out) == 4 + len(films.HELD_OUT)
    ids = [row["videoid"] for row in training + held_out]
    assert len(ids) == len(set(ids))
    missing = [
        row["videoid"]
        for row in training + held_out
        if not (collection.videos / row["page_dir"] / f"{row['videoid']}.mp4").exists()
    ]
    assert missing == ["gone"]


def test_footage_is_the_same_every_time_and_made_once(collection, tmp_path):
    again = Collection(tmp_path)
    write_collection(again, AMOUNTS, lambda done, total: None)
    files = sorted(path.relative_to(again.root) for path in again.root.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(collection.root) for p in collection.root.rglob("*") if p.is_file())
    assert all((again.root / file).read_bytes() == (collection.root / file).read_bytes() for file in files)

    video = next((again.videos / films.PAGE).glob("*.mp4"))
    written = video.stat().st_mtime_ns
    write_collection(again, AMOUNTS, lambda done, total: None)
    assert video.stat().st_mtime_ns == written
    assert again.fingerprint() == AMOUNTS.fingerprint() != Amounts().fingerprint()


def test_rendered_clips_move_as_their_captions_say():
    for index in range(24):
        scene = footage.draw_scene(TRAINING_SEED, index)
        clip = footage.render(scene, frames=8, size=64)
        assert detect_motion(clip).direction == caption_direction(scene.caption) == scene.direction
        assert scene.colour in scene.caption
        assert scene.shape in scene.caption


def test_held_out_scenes_are_balanced_and_other_scenes():
    chosen = footage.balanced(HELD_OUT_SEED, 12)
    directions = Counter(footage.draw_scene(HELD_OUT_SEED, index).direction for index in chosen)
    assert directions == dict.fromkeys(footage.DIRECTIONS, 12)
    training = {footage.draw_scene(TRAINING_SEED, index) for index in range(200)}
    assert not training & {footage.draw_scene(HELD_OUT_SEED, index) for index in chosen}


def test_no_frame_of_a_held_out_window_is_trained_on():
    def frames(windows):
        return {(window.film, frame) for window in windows for frame in range(window.start, window.stop)}

    assert not frames(films.TRAINING) & frames(films.HELD_OUT)
    assert len(films.TRAINING) >= 24


def test_windows_stay_within_one_shot_and_their_captions_name_no_direction(collection):
    for window in (*films.TRAINING, *films.HELD_OUT):
        assert caption_direction(window.caption) is None
        with av.open(str(collection.videos / films.PAGE / f"{window.videoid}.mp4")) as container:
            clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert len(clip) >= 22
        assert min(clip.shape[1:3]) == footage.SIZE
        small = clip[:, ::8, ::8].astype(float).mean(axis=-1)
        # A cut changes nearly every pixel at once; cars that pass change some of them.
        assert (np.abs(np.diff(small, axis=0)) > 40).mean(axis=(1, 2)).max() < 0.6, window.videoid
