"""Stage 1 from tars of images and captions, as img2dataset writes them."""

import io
import itertools
import tarfile
import zlib

import numpy as np
import pytest
import webdataset
from PIL import Image
from typer.testing import CliRunner

from core.errors import AnimaticError
from orchestration.cli import app
from pipelines.dataset import Dataset
from pipelines.dataset.images import index_images
from pipelines.dataset.verify import verify
from pipelines.loader import ClipLoader, ClipSampling
from pipelines.survey import preview_samples
from pipelines.video.frames import UndecodableError, read_image

STAGE_ONE = ClipSampling(frames=16, height=32, width=48, images_only=True)


def image(level, size=(96, 64), kind="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), level, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Two tars with seven good samples, one without caption, one without image, one that is no image."""
    for number in range(2):
        with webdataset.TarWriter(str(tmp_path / f"{number:05d}.tar")) as writer:
            for n in range(3):
                level = 40 * number + 10 * n + 20
                key = f"{number:05d}{n:04d}"
                writer.write({"__key__": key, "jpg": image(level), "txt": f"grey {level}", "json": b"{}"})
    with webdataset.TarWriter(str(tmp_path / "00002.tar")) as writer:
        writer.write({"__key__": "a", "png": image(200, (50, 50), "PNG"), "txt": "square"})
        writer.write({"__key__": "b", "jpg": image(1)})
        writer.write({"__key__": "c", "txt": "nothing to see"})
        writer.write({"__key__": "d", "jpg": b"<html>", "txt": "a page"})
    (tmp_path / "00000_stats.json").write_text("{}")
    return tmp_path


def test_stage_one_trains_on_them(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("*.tar")}
    counts = index_images(folder)["counts"]
    assert (counts["rows"], counts["samples"]) == (10, 7)
    assert counts["reasons"] == {"corrupt": 1, "no_caption": 1, "no_image": 1}
    loader = ClipLoader(Dataset.open(folder), STAGE_ONE, seed=0, global_batch=7)
    (batch,) = itertools.islice(iter(loader), 1)
    assert batch.pixels.shape == (7, 1, 3, 32, 48)
    shown = dict(zip(batch.captions, batch.pixels.float().mean((1, 2, 3, 4)).tolist(), strict=True))
    assert shown.keys() == {f"grey {level}" for level in (20, 30, 40, 60, 70, 80)} | {"square"}
    for caption, level in shown.items():
        assert level == pytest.approx(200 if caption == "square" else int(caption[5:]), abs=2)
    assert {path.name: path.read_bytes() for path in folder.glob("*.tar")} == before
    seen = []
    assert verify(folder, progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(done, 5) for done in range(1, 6)]  # three tars, two tables
    assert index_images(folder)["digest"] == Dataset.open(folder).digest
    with pytest.raises(AnimaticError, match="no clips to decode: leave out --deep"):
        verify(folder, deep=True)


def test_later_stages_need_clips(folder):
    index_images(folder)
    with pytest.raises(AnimaticError, match="none of its 7 clips has the 4 frames"):
        ClipLoader(Dataset.open(folder), ClipSampling(frames=4, height=32, width=48), seed=0, global_batch=1)


@pytest.mark.parametrize("boundary", [True, False])
def test_a_cut_tar_is_refused_by_name(folder, boundary):
    path = folder / "00001.tar"
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset if boundary else last.offset - 700])
    with pytest.raises(AnimaticError, match=r"00001\.tar is cut"):
        index_images(folder)


def test_damage_after_indexing_is_found(folder):
    index_images(folder)
    path = folder / "00001.tar"
    path.write_bytes(path.read_bytes().replace(b"grey 60", b"grey 61"))
    assert any("00001.tar: sha256" in problem for problem in verify(folder))
    with pytest.raises(AnimaticError, match=r"00001\.tar is damaged"):
        list(itertools.islice(iter(ClipLoader(Dataset.open(folder), STAGE_ONE, seed=0, global_batch=7)), 1))


def test_an_image_with_a_huge_header_is_one_rejected_sample(folder):
    huge = bytearray(image(1, (50, 50), "PNG"))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    with webdataset.TarWriter(str(folder / "00003.tar")) as writer:
        writer.write({"__key__": "a", "png": bytes(huge), "txt": "a bomb"})
    assert index_images(folder)["counts"]["reasons"]["corrupt"] == 2
    with pytest.raises(UndecodableError, match="exceeds limit"):
        read_image(bytes(huge), (32, 48))


def test_images_of_one_name_in_two_folders_of_a_tar_keep_their_captions(tmp_path):
    with webdataset.TarWriter(str(tmp_path / "0.tar")) as writer:
        for level in (50, 150):
            writer.write({"__key__": f"{level}/a", "jpg": image(level), "txt": f"grey {level}"})
    index_images(tmp_path)
    dataset = Dataset.open(tmp_path)
    assert dataset.samples["caption"].to_pylist() == ["grey 50", "grey 150"]
    assert dataset.samples["key"].to_pylist() == ["0-50/a", "0-150/a"]
    assert [read_image(dataset.read(n, "jpg"), (4, 4)).mean() for n in (0, 1)] == [50, 150]


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_members_of_a_key_need_not_follow_each_other_and_the_first_image_counts(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        add(tar, "README", b"no sample")
        for key, level in (("a", 50), ("b", 150)):
            add(tar, f"./{key}.JPG", image(level))
        add(tar, "a.png", image(200, (20, 20), "PNG"))
        for key in "ab":
            add(tar, f"./{key}.txt", f"grey {key}".encode())
    counts = index_images(tmp_path)["counts"]
    assert (counts["samples"], counts["rejected_rows"]) == (2, 0)
    dataset = Dataset.open(tmp_path)
    assert dataset.samples["key"].to_pylist() == ["0-a", "0-b"]
    assert dataset.samples["width"].to_pylist() == [96, 96]
    assert [read_image(dataset.read(n, "jpg"), (4, 4)).mean() for n in (0, 1)] == [50, 150]


def test_the_contact_sheet_has_images_without_clips(folder):
    index_images(folder)
    for sample in preview_samples(Dataset.open(folder), 10, 0):
        assert (sample.problem, sample.stills) == ("", [])
        assert sample.image


def test_the_command_prints_counts_and_errors(folder, tmp_path_factory):
    result = CliRunner().invoke(app, ["index-images", str(folder)])
    assert result.exit_code == 0
    assert "7 images" in result.stdout
    result = CliRunner().invoke(app, ["index-images", str(tmp_path_factory.mktemp("empty"))])
    assert "no tars in" in result.output + str(result.exception)
