"""UCF-101 and MSR-VTT as their users have them: the videos of a split, their prompts and sources."""

import json

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.protocols.msrvtt import list_msrvtt
from pipelines.evaluate.protocols.ucf101 import list_ucf101
from tests.support.public_datasets import UCF101, ucf101_line


@pytest.fixture
def ucf101(tmp_path):
    for name in UCF101:
        path = tmp_path / "UCF-101" / ucf101_line(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "testlist01.txt").write_text("".join(f"{ucf101_line(name)}\r\n" for name in UCF101[:4]))
    (lists / "trainlist01.txt").write_text(f"{ucf101_line(UCF101[-1])} 101\n")
    return tmp_path


@pytest.fixture
def msrvtt(tmp_path):
    def write(name="test_videodatainfo.json", **changes):
        (tmp_path / "TestVideo").mkdir(exist_ok=True)
        for number in range(2):
            (tmp_path / "TestVideo" / f"video{number}.mp4").write_bytes(b"ftyp")
        content = {
            "videos": [
                {"video_id": f"video{number}", "split": split, "url": f"https://v.example/{number // 2}"}
                for number, split in enumerate(["test", "test", "test", "train"])
            ],
            "sentences": [
                {"video_id": "video1", "caption": "a  dog\truns "},
                {"video_id": "video0", "caption": ""},
                {"video_id": "video0", "caption": "a cat"},
                {"video_id": "video0", "caption": "a cat sits"},
                {"video_id": "video3", "caption": "a car"},
            ],
            **changes,
        }
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path

    return write


def test_a_list_of_ucf101_becomes_class_prompts_and_groups(ucf101):
    listing = list_ucf101(ucf101)
    assert [(video.key, video.caption, video.source) for video in listing.videos] == [
        ("v_ApplyEyeMakeup_g01_c01", "Apply Eye Makeup", "ApplyEyeMakeup_g01"),
        ("v_ApplyEyeMakeup_g01_c02", "Apply Eye Makeup", "ApplyEyeMakeup_g01"),
        ("v_ApplyEyeMakeup_g02_c01", "Apply Eye Makeup", "ApplyEyeMakeup_g02"),
        ("v_HandStandPushups_g01_c01", "Handstand Pushups", "HandstandPushups_g01"),
    ]
    assert all(video.path.is_file() for video in listing.videos)
    (train,) = list_ucf101(ucf101, "trainlist01").videos
    assert (train.key, train.caption) == ("v_YoYo_g07_c02", "Yo Yo")
    assert len(list_ucf101(ucf101, "all").videos) == len(UCF101)


def test_a_listed_video_without_a_file_stays_in_the_listing(ucf101):
    (ucf101 / "UCF-101" / ucf101_line(UCF101[1])).unlink()
    assert [video.path is None for video in list_ucf101(ucf101).videos] == [False, True, False, False]


@pytest.mark.parametrize(
    ("change", "split", "message"),
    [
        (lambda root: None, "testlist02", r"contains no testlist02\.txt: unpack UCF-101's ucfTrainTestlist"),
        (lambda root: None, "test", r"has no split 'test': pass one of testlist01, .*, all"),
        (
            lambda root: (root / "UCF-101" / "holiday.avi").write_bytes(b""),
            "all",
            r"'holiday' is not a name of UCF-101",
        ),
        (
            lambda root: (root / "ucfTrainTestlist/testlist01.txt").write_text(
                f"{ucf101_line(UCF101[0])}\n" * 2
            ),
            "testlist01",
            r"testlist01\.txt lists v_ApplyEyeMakeup_g01_c01 twice",
        ),
        (
            lambda root: (root / f"{UCF101[0]}.mp4").write_bytes(b""),
            "testlist01",
            r"are both v_ApplyEyeMakeup_g01_c01: remove one",
        ),
    ],
)
def test_what_is_not_ucf101_is_refused_with_its_reason(ucf101, change, split, message):
    change(ucf101)
    with pytest.raises(AnimaticError, match=message):
        list_ucf101(ucf101, split)


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(AnimaticError, match=r"contains no videos \(\.avi, "):
        list_ucf101(tmp_path)


@pytest.mark.parametrize("name", ["test_videodatainfo.json", "videodatainfo.json", "MSRVTT_data.json"])
def test_captions_of_msrvtt_follow_the_recorded_rule(msrvtt, name):
    folder = msrvtt(name)
    first = list_msrvtt(folder)
    assert [(video.key, video.caption, video.source) for video in first.videos] == [
        ("video0", "a cat", "https://v.example/0"),
        ("video1", "a dog runs", "https://v.example/0"),
        ("video2", "", "https://v.example/1"),
    ]
    assert [video.path is None for video in first.videos] == [False, False, True]
    assert first.prompts == f"first of the captions in {name}"
    longest = list_msrvtt(folder, captions="longest")
    assert [video.caption for video in longest.videos] == ["a cat sits", "a dog runs", ""]
    assert [video.key for video in list_msrvtt(folder, "train").videos] == ["video3"]


def test_annotations_without_splits_and_urls_list_every_video(msrvtt):
    folder = msrvtt(videos=[{"video_id": "video0"}, {"video_id": "video1"}])
    videos = list_msrvtt(folder).videos
    assert [video.source for video in videos] == ["video0", "video1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": [{"video_id": "../etc"}]}, r"'\.\./etc' cannot be the name of a video"),
        ({"videos": 3}, r"is not annotations of MSR-VTT: videos: Input should be a valid array"),
        ({"videos": [{"video_id": "a", "split": "train"}]}, r"has no videos of split test; it has train"),
        ({"videos": [{"video_id": "a"}] * 2}, r"lists a twice"),
    ],
)
def test_damaged_annotations_are_refused(msrvtt, changes, message):
    folder = msrvtt(**changes)
    with pytest.raises(AnimaticError, match=message):
        list_msrvtt(folder)


def test_annotations_are_required(msrvtt):
    (msrvtt() / "test_videodatainfo.json").unlink()
    with pytest.raises(AnimaticError, match="contains no annotations of MSR-VTT: copy one of"):
        list_msrvtt(msrvtt("other.json"))
