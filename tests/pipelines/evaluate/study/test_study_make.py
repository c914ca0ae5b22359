"""The folder of a study: complete, blind, the same for the same input, and only from comparable reports."""

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.evaluate.report import read_report
from pipelines.evaluate.study import MadeStudy, StudySettings, make_study
from pipelines.evaluate.study.attention import damaged
from tests.support.evaluations import write_report
from tests.support.studies import DIGESTS, FRAMES, HOSTILE, make_pairs, write_reports

SETTINGS = StudySettings(pairs=2, raters=2, attention=2)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_reports(tmp_path_factory.mktemp("reports"), captions={0: HOSTILE})


@pytest.fixture(scope="module")
def made(reports: list[Path], tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return make_study(reports, tmp_path_factory.mktemp("made") / "study", SETTINGS)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_the_page_has_every_clip_and_names_no_system(reports: list[Path], made: MadeStudy) -> None:
    files = content(made.folder / "page")
    tasks = [task for own in made.key["raters"].values() for task in own]
    assert {f"clips/{task[side]}.mp4" for task in tasks for side in ("a", "b")} == {
        name for name in files if name.startswith("clips/")
    }
    html = files.pop("index.html").decode()
    (study,) = re.findall(r'<script id="study" type="application/json">(.*?)</script>', html)
    assert {f"pictures/{each['picture']}.png" for each in json.loads(study)["pairs"].values()} <= files.keys()
    captions = {each["caption"] for each in json.loads(study)["pairs"].values()}
    assert HOSTILE in captions and html.count("<script") == 2
    secrets = ["the good", "the poor", "clip-", "video-", "scrambled", "flashing", "frozen", "attention"]
    secrets += [*DIGESTS.values(), *(read_report(path)["digest"] for path in reports)]
    assert [secret for secret in secrets if secret in html or secret in " ".join(files)] == []
    assert len({path.stat().st_mtime for path in made.folder.glob("page/clips/*")}) == 1
    assert not (made.folder / "page" / "key.json").exists()


def test_a_pair_shows_the_clips_that_the_key_names(made: MadeStudy) -> None:
    pairs = {pair.clip.key: pair for pair in make_pairs(6, 10.0)}
    each = made.key["comparisons"][0]
    first, second = (decoded(made.folder / "page" / "clips" / f"{name}.mp4") for name in each["files"])
    assert first.shape == second.shape == (FRAMES, 256, 256, 3)  # small clips are enlarged
    real = pairs[each["key"]].real.repeat(4, axis=1).repeat(4, axis=2).astype(int)
    assert np.abs(first - real).mean() < 5 < np.abs(second - real).mean()


def test_damaged_clips_are_what_they_are_called() -> None:
    frames = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1) + np.zeros((8, 2, 2, 3), np.uint8)

    def order(damage) -> list[int]:
        return [int(frame[0, 0, 0]) for frame in damaged(frames, damage)]

    assert order("frozen-other") == [0] * 8
    assert order("flashing") == [0, 0, 2, 0, 4, 0, 6, 0]
    assert sorted(order("scrambled-other")) == list(range(8))
    assert min(abs(np.diff(order("scrambled-other")))) > 1
    assert int(frames[1, 0, 0, 0]) == 1


def test_the_same_reports_and_settings_give_the_same_files(
    reports: list[Path], made: MadeStudy, tmp_path: Path
) -> None:
    make_study(reports, tmp_path / "again", SETTINGS)
    assert content(tmp_path / "again") == content(made.folder)
    assert make_study(reports, made.folder, SETTINGS).existed
    with pytest.raises(AnimaticError, match="exists and does not contain this study: choose another --out"):
        make_study(reports, made.folder, StudySettings(pairs=2, raters=2, attention=2, seed=1))


def test_reports_that_do_not_compare_are_refused(reports: list[Path], tmp_path: Path) -> None:
    def refused(problem: str, *paths: Path) -> None:
        with pytest.raises(AnimaticError, match=problem):
            make_study(paths, tmp_path / "study", SETTINGS)
        assert not (tmp_path / "study").exists()

    refused("compares two or more systems", reports[0])
    refused("is named twice", reports[0], reports[0])
    alike = make_pairs(6, 10, {0: HOSTILE})
    write_report(tmp_path / "stride", alike, {"digest": DIGESTS["poor"]}, ["flicker"], stride=2)
    refused(r"their protocol.stride differs \(1 and 2\)", reports[0], tmp_path / "stride" / "report.json")
    write_report(tmp_path / "fewer", alike[:5], {"digest": DIGESTS["poor"]}, ["flicker"])
    refused(r"their protocol.data differs", reports[0], tmp_path / "fewer" / "report.json")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "report.json").write_bytes(reports[1].read_bytes())
    refused("alone has no clips of the report", reports[0], tmp_path / "alone" / "report.json")
    write_report(tmp_path / "other", alike, {"digest": DIGESTS["worst"]}, ["flicker"])
    (tmp_path / "other" / "report.json").write_bytes(reports[1].read_bytes())
    refused("clips in .*other are not those of the report: they have another system",
            reports[0], tmp_path / "other" / "report.json")  # fmt: skip
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "report.json").write_bytes(reports[0].read_bytes())
    refused("are the same report", reports[0], tmp_path / "copy" / "report.json")
