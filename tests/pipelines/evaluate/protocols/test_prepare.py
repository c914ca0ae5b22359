"""Raw videos of public datasets become normalised clips; every listed video is accounted for."""

import json
from collections import Counter

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.protocols.msrvtt import list_msrvtt
from pipelines.evaluate.protocols.prepare import prepare
from pipelines.evaluate.protocols.prepared import PreparedFolder, read_prepared
from pipelines.evaluate.protocols.ucf101 import list_ucf101
from pipelines.video.frames import read_clip
from tests.support.footage import frame_number
from tests.support.public_datasets import FRAMES, UCF101, ucf101_line, write_msrvtt, write_ucf101


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    return write_ucf101(tmp_path_factory.mktemp("ucf") / "data")


def test_every_listed_video_has_a_clip_or_a_reason(ucf101, tmp_path):
    (ucf101 / "UCF-101" / ucf101_line(UCF101[1])).unlink()
    (ucf101 / "UCF-101" / ucf101_line(UCF101[2])).write_bytes(b"\0" * 100)
    seen = []
    folder = prepare(
        list_ucf101(ucf101), tmp_path, on_progress=lambda done, total: seen.append((done, total))
    )
    prepared = read_prepared(folder)

    assert [clip["key"] for clip in prepared["clips"]] == [UCF101[0], UCF101[3]]
    reasons = {video["key"]: video["reason"] for video in prepared["unusable"]}
    assert reasons == {UCF101[1]: "missing_file", UCF101[2]: "not_a_video"}
    assert seen[0] == (0, 4)
    assert seen[-1] == (4, 4)
    clip = prepared["clips"][0]
    assert (clip["frames"], clip["height"], clip["width"], clip["fps"]) == (FRAMES, 96, 160, 25.0)
    mp4 = PreparedFolder(folder).clip(clip["key"]).read_bytes()
    pixels = read_clip(mp4, list(range(0, FRAMES, 3)), (96, 160), (96, 160))
    assert [frame_number(frame) for frame in pixels] == list(range(0, FRAMES, 3))
    assert sorted(path.suffix for path in (folder / "clips").iterdir()) == [".json"] * 4 + [".mp4"] * 2

    # Again: nothing is done; with another file in the place of a missing one: that one alone.
    written = PreparedFolder(folder).clip(UCF101[0]).stat().st_mtime_ns
    again = []
    assert prepare(list_ucf101(ucf101), tmp_path, on_progress=lambda done, _: again.append(done)) == folder
    assert again == [4]
    restored = ucf101 / "UCF-101" / ucf101_line(UCF101[1])
    restored.write_bytes((ucf101 / "UCF-101" / ucf101_line(UCF101[0])).read_bytes())
    prepare(list_ucf101(ucf101), tmp_path, on_progress=lambda done, _: again.append(done))
    assert again == [4, 3, 4]
    assert PreparedFolder(folder).clip(UCF101[0]).stat().st_mtime_ns == written
    completed = read_prepared(folder)
    assert [clip["key"] for clip in completed["clips"]] == [UCF101[0], UCF101[1], UCF101[3]]
    assert completed["digest"] != prepared["digest"]

    completed["clips"][0]["caption"] = "something else"
    (folder / "held-out.json").write_text(json.dumps(completed))
    with pytest.raises(AnimaticError, match="does not match its digest"):
        read_prepared(folder)


@pytest.mark.slow
def test_workers_on_ray_prepare_the_same_set(tmp_path, monkeypatch):
    listing = list_ucf101(write_ucf101(tmp_path / "data"), "all")
    names = [f"{video.key}.{suffix}" for video in listing.videos for suffix in ("json", "mp4")]
    monkeypatch.setattr("pipelines.evaluate.protocols.prepare._BATCH", 2)
    folders = [prepare(listing, tmp_path / str(workers), workers=workers) for workers in (0, 2)]
    here, on_ray = ([(folder / "clips" / name).read_bytes() for name in names] for folder in folders)
    assert here == on_ray
    assert read_prepared(folders[0]) == read_prepared(folders[1])


def test_odd_videos_become_upright_with_square_pixels(tmp_path):
    data = write_msrvtt(tmp_path / "msrvtt")
    prepared = read_prepared(prepare(list_msrvtt(data), tmp_path))
    sizes = {clip["key"]: (clip["height"], clip["width"]) for clip in prepared["clips"]}
    assert sizes == {"video7010": (160, 96), "video7011": (96, 320), "video7012": (96, 160)}
    rates = Counter(round(clip["fps"], 2) for clip in prepared["clips"])
    assert rates == {25.0: 2, 29.97: 1}


def test_a_dataset_without_a_usable_video_is_refused(tmp_path):
    data = write_ucf101(tmp_path / "data", UCF101[:2])
    for path in (data / "UCF-101").rglob("*.avi"):
        path.write_bytes(b"")
    with pytest.raises(
        AnimaticError, match=r"none of the 2 videos of ucf101 testlist01 is usable \(empty_file\)"
    ):
        prepare(list_ucf101(data), tmp_path / "out")
