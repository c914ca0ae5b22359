"""Latents: encoded once, reproducible byte for byte, refused when stale, equivalent to pixels."""

import itertools
import json
import shutil

import fsspec
import numpy as np
import pytest
import torch
import webdataset
from safetensors.torch import save_file
from typer.testing import CliRunner

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import CodecConfig
from models.encoders.build import build_codec
from models.encoders.codec import draw_latents
from models.encoders.digests import codec_digest
from models.encoders.vae import build_vae, to_ldm
from orchestration.cli import app
from pipelines.cluster.shard_jobs import ShardTask
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latents
from pipelines.dataset.verify_latents import verify_latents
from pipelines.encode import EncodeConfig, encode
from pipelines.encode.unit import UnitEncoder, load_models
from pipelines.loader import Captions, ClipLoader, ClipSampling, WeightedDataset
from pipelines.video.frames import read_clip
from tests.support.coded_clips import build_dataset
from training.batch_source import DatasetSource
from training.config import resolve
from training.config.identity import config_hash
from training.objectives.denoising import DenoisingObjective

SIZE = {"model.height": 32, "model.width": 48, "model.frames": 4}
MODEL = resolve(3, "tiny", [f"{name}={value}" for name, value in SIZE.items()]).model
LATENT = (MODEL.codec.channels, *MODEL.latent_size)
SMALL_VAE = CodecConfig(width=32, channel_mult=(1, 2, 1), res_blocks=1, patch=4, decode_tile=None)
LENGTHS = [40, 12, 16, 12, 20]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return build_dataset(tmp_path_factory.mktemp("data") / "whole", LENGTHS, sizes=[2, 1, 2])


def config_of(dataset, output, **changes):
    values = {"height": 32, "width": 48, "codec": MODEL.codec, "encoders": MODEL.encoders, "workers": 0}
    return EncodeConfig(dataset=dataset.url, output=str(output), **(values | changes))


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents") / "out"
    seen = []
    report = encode(config_of(dataset, folder, workers=2), lambda done, total: seen.append((done, total)))
    return folder, report, seen


def bytes_of(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def batches(dataset, count, latents=None, sampling=None):
    sampling = sampling or resolve(3, "tiny", [f"{n}={v}" for n, v in SIZE.items()]).data.sampling
    source = WeightedDataset(dataset, latents=latents)
    loader = ClipLoader([source], sampling, seed=1, global_batch=3)
    return list(itertools.islice(iter(loader), count))


def test_every_sample_is_accounted_for(dataset, made):
    folder, report, seen = made
    assert (report.samples, report.encoded, report.failed, report.skipped_units) == (5, 5, 0, 0)
    assert (seen[0], seen[-1]) == ((0, 5), (5, 5))
    assert verify_latents(folder) == []
    latents = Latents.open(folder, dataset)
    for row, length in enumerate(LENGTHS):
        assert latents.clip(row, range(length)).shape == (length, 2, *LATENT)
        assert latents.still(row).shape == (1, 2, *LATENT)
        assert latents.text(row).shape == (77, 64)


def test_stock_webdataset_reads_them(made):
    folder, *_ = made
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == [f"clip-{n:04d}" for n in range(5)]
    assert samples[0]["clip.npy"].shape == (40, 2, *LATENT)


def test_latents_of_an_object_store_equal_local_ones(dataset, made):
    folder, *_ = made
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/latents", recursive=True)
    try:
        stored, local = Latents.open("memory://latents", dataset), Latents.open(folder, dataset)
        for indices in ([0], [7, 3, 11], [39, 5]):
            assert np.array_equal(stored.clip(0, indices), local.clip(0, range(40))[indices])
        assert np.array_equal(stored.still(4), local.still(4))
    finally:
        memory.rm("/latents", recursive=True)


def test_latents_state_the_version_of_their_format(made):
    folder, *_ = made
    assert json.loads((folder / "latents.json").read_text())["format"] == 1


def test_one_process_makes_the_same_bytes_and_a_second_run_makes_nothing(dataset, made, tmp_path):
    folder, report, _ = made
    alone = encode(config_of(dataset, tmp_path / "alone"))
    assert bytes_of(tmp_path / "alone") == bytes_of(folder)
    again = encode(config_of(dataset, folder))
    assert (again.digest, again.skipped_units) == (report.digest, 3) == (alone.digest, 3)


def test_an_interrupted_job_makes_only_what_is_missing(dataset, made, tmp_path):
    folder, *_ = made
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "latents.json").unlink()
    (broken / "units/unit-000001.json").unlink()
    (broken / "latents-000002.tar").write_bytes(b"cut")
    with pytest.raises(AnimaticError, match="they were not finished"):
        Latents.open(broken, dataset)
    assert encode(config_of(dataset, broken)).skipped_units == 1
    assert bytes_of(broken) == bytes_of(folder)


def test_the_loss_from_latents_is_the_loss_from_pixels(dataset, made):
    torch.manual_seed(0)
    animator = Animator(MODEL)
    with torch.no_grad():
        for parameter in animator.network.parameters():
            parameter.normal_(0, 0.02)
    objective = DenoisingObjective(animator)
    latents = Latents.open(made[0], dataset)
    for seen, stored in zip(batches(dataset, 4), batches(dataset, 4, latents), strict=True):
        assert stored.keys == seen.keys
        assert stored.pixels.shape[1] == 1
        assert torch.equal(stored.stills, seen.stills)
        with torch.no_grad():
            there, here = objective(seen).mean, objective(stored).mean
        assert here.item() == pytest.approx(there.item(), rel=1e-3)
        assert here.item() != there.item()  # 16 bits are not 32: the latents were used


def test_stage_one_trains_on_stored_images(dataset, made, tmp_path):
    sampling = resolve(1, "tiny", [f"{n}={v}" for n, v in SIZE.items()]).data.sampling
    encode(config_of(dataset, tmp_path / "stills", clips=False, encoders=None))
    stills = Latents.open(tmp_path / "stills", dataset)
    codec, _, _ = load_models(config_of(dataset, tmp_path))
    for latents in (stills, Latents.open(made[0], dataset)):
        (batch,) = batches(dataset, 1, latents, sampling)
        (pixels,) = batches(dataset, 1, sampling=sampling)
        assert torch.equal(batch.stills, pixels.stills)
        mean, _ = codec.posterior(batch.stills.float() / 127.5 - 1)
        torch.testing.assert_close(batch.latents[:, 0, 0].float(), mean, rtol=1e-3, atol=1e-3)
    assert (tmp_path / "stills/latents-000000.tar").stat().st_size < (
        made[0] / "latents-000000.tar"
    ).stat().st_size
    with pytest.raises(AnimaticError, match="made with another choice of clips or stills"):
        stills.require(clips=True)


def test_latents_of_a_grown_dataset_are_stale_until_they_are_updated(tmp_path):
    first = build_dataset(tmp_path / "data", [12, 12])
    encode(config_of(first, tmp_path / "latents"))
    before = bytes_of(tmp_path / "latents")
    grown = build_dataset(tmp_path / "more", [12, 12, 14], sizes=[2, 1])
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "more", tmp_path / "data")
    grown = Dataset.open(tmp_path / "data")
    with pytest.raises(AnimaticError, match=r"are of dataset .* is now .*animatic encode"):
        Latents.open(tmp_path / "latents", grown)
    report = encode(config_of(grown, tmp_path / "latents"))
    assert (report.samples, report.skipped_units) == (3, 1)
    after = bytes_of(tmp_path / "latents")
    assert after["latents-000000.tar"] == before["latents-000000.tar"]
    assert Latents.open(tmp_path / "latents", grown).clip(2, [13]).shape == (1, 2, *LATENT)


def test_late_latents_of_another_state_are_an_error_and_replaced_by_the_next_run(tmp_path):
    out, before, after = (tmp_path / name for name in ("latents", "before", "after"))
    encode(config_of(build_dataset(before, [12, 12], sizes=[1, 1]), out))
    shutil.copytree(out, tmp_path / "old")
    # The same keys in as many units, but other clips, one of which cannot be decoded.
    now = build_dataset(after, [14, 14], lambda n, mp4: b"" if n else mp4, sizes=[1, 1])

    def intrude(done, total):
        for name in ("latents-000000.tar", "units/unit-000000.json"):
            shutil.copy(tmp_path / "old" / name, out / name)

    with pytest.raises(AnimaticError, match=r"unit-000000.json is not of shard-000000.tar as it is"):
        encode(config_of(now, out), intrude)
    with pytest.raises(AnimaticError, match="were not finished"):
        Latents.open(out, now)
    assert encode(config_of(now, out)).skipped_units == 1
    encode(config_of(now, tmp_path / "fresh"))
    assert bytes_of(out) == bytes_of(tmp_path / "fresh")


def test_latents_of_a_shrunk_dataset_are_deleted(tmp_path):
    out = tmp_path / "latents"
    encode(config_of(build_dataset(tmp_path / "before", [12, 12], sizes=[1, 1]), out))
    less = build_dataset(tmp_path / "after", [12])
    encode(config_of(less, out))
    assert verify_latents(out) == []
    assert sorted(bytes_of(out)) == [
        "encode.json",
        "latents-000000.tar",
        "latents.json",
        "latents.parquet",
        "units/unit-000000.json",
    ]
    (out / "latents-000001.tar").touch()
    assert verify_latents(out) == ["latents-000001.tar: not part of the latents"]


def test_a_damaged_shard_is_an_error_and_not_an_unreadable_sample(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12, 12])
    tar = tmp_path / "data/shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-20000] + bytes(20000))
    with pytest.raises(AnimaticError, match=r"shard-000000.tar is damaged"):
        encode(config_of(dataset, tmp_path / "latents"))
    tar.unlink()
    with pytest.raises(AnimaticError, match=r"shard-000000.tar cannot be read"):
        encode(config_of(dataset, tmp_path / "latents"))


def test_latents_do_not_depend_on_whether_their_table_is_mapped(dataset, made, monkeypatch):
    held = Latents.open(made[0], dataset).clip(3, [2, 5])
    monkeypatch.setattr("pipelines.dataset.rows.HELD_ROWS", 0)
    mapped = Latents.open(made[0], Dataset.open(dataset.url))
    assert (mapped.clip(3, [2, 5]) == held).all()


def test_another_codec_or_size_is_refused(dataset, made):
    folder, *_ = made
    codec = CodecConfig(kind="dct", luma=4, chroma=2)
    with pytest.raises(AnimaticError, match="holds latents with another codec; choose a new output folder"):
        encode(config_of(dataset, folder, codec=codec))
    with pytest.raises(AnimaticError, match="another height, width"):
        encode(config_of(dataset, folder, height=16, width=24))
    latents = Latents.open(folder, dataset)
    _, _, other = load_models(config_of(dataset, folder, codec=codec))
    latents.require(height=32, width=48, clips=True)
    with pytest.raises(AnimaticError, match="made with another codec"):
        latents.require(codec=other.codec)


def test_foreign_folders_and_altered_files_are_refused(dataset, made, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(AnimaticError, match=r"holds no latents \(found mine.txt\)"):
        encode(config_of(dataset, tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(made[0], copy)
    data = bytearray((copy / "latents-000001.tar").read_bytes())
    data[3000] ^= 1
    (copy / "latents-000001.tar").write_bytes(data)
    assert [problem.split(":")[0] for problem in verify_latents(copy)] == ["latents-000001.tar"]
    assert CliRunner().invoke(app, ["verify", str(made[0])]).stdout.endswith("is intact\n")
    assert CliRunner().invoke(app, ["verify", str(copy)]).exit_code == 1
    info = json.loads((copy / "latents.json").read_text())
    (copy / "latents.json").write_text(json.dumps(info | {"dataset": "0" * 64}))
    with pytest.raises(AnimaticError, match="does not match its own digest"):
        Latents.open(copy, dataset)


def test_an_unreadable_clip_is_recorded_and_replaced_in_training(tmp_path):
    damaged = build_dataset(
        tmp_path / "data", [12, 12, 12], lambda n, mp4: mp4[: len(mp4) // 3] if n == 1 else mp4
    )
    report = encode(config_of(damaged, tmp_path / "latents"))
    assert (report.samples, report.encoded, report.failed) == (3, 2, 1)
    latents = Latents.open(tmp_path / "latents", damaged)
    for batch in batches(damaged, 2, latents):
        assert "clip-0001" not in batch.keys


@pytest.fixture(scope="module")
def vae_path(tmp_path_factory):
    """A small autoencoder with every weight drawn, in a published file."""
    torch.manual_seed(0)
    vae = build_vae(SMALL_VAE)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.randn_like(parameter) / max(parameter[0].numel(), 1) ** 0.5)
    path = tmp_path_factory.mktemp("vae") / "vae.safetensors"
    save_file({key: value.contiguous() for key, value in to_ldm(vae).items()}, path)
    return path


def test_latents_of_an_autoencoder_are_drawn_as_from_pixels(dataset, vae_path, tmp_path):
    codec_config = SMALL_VAE.model_copy(update={"path": str(vae_path)})
    config = config_of(dataset, tmp_path, codec=codec_config, encoders=None)
    codec, _, key = load_models(config)
    unit = UnitEncoder(config, key)
    rows = dataset.samples.slice(1, 1).to_pylist()
    assert unit.make(ShardTask(0, dataset.info["shards"][0], rows)) == 1
    (sample,) = webdataset.WebDataset(str(tmp_path / "latents-000000.tar"), shardshuffle=False).decode()
    mean, std = torch.from_numpy(sample["clip.npy"]).float().unbind(1)
    assert std.min() > 0
    frames = read_clip(dataset.read(1, "mp4"), list(range(12)), (64, 96), (32, 48))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    for seed in (3, 4):
        seen = codec.encode(pixels, [torch.Generator().manual_seed(seed) for _ in frames])
        stored = draw_latents(mean, std, [torch.Generator().manual_seed(seed) for _ in frames])
        torch.testing.assert_close(stored, seen, rtol=2e-3, atol=2e-3 * float(seen.abs().max()))
    again = draw_latents(mean, std, [torch.Generator().manual_seed(3) for _ in frames])
    assert (again - stored).abs().max() > std.min()  # another seed, another latent


def test_the_digest_of_a_codec_ignores_its_decoder(vae_path, tmp_path):
    codec = build_codec(SMALL_VAE.model_copy(update={"path": str(vae_path)}))
    digest = codec_digest(codec)
    with torch.no_grad():
        codec.vae.decoder.conv_in.weight.add_(1)
    assert codec_digest(codec) == digest
    with torch.no_grad():
        codec.vae.quant_conv.bias[0].add_(1)
    assert codec_digest(codec) != digest


def test_training_takes_latents_by_configuration(dataset, made):
    sets = [f"{n}={v}" for n, v in SIZE.items()] + [f"data.dataset={dataset.url}"]
    pixels, config = resolve(3, "tiny", sets), resolve(3, "tiny", [*sets, f"data.latents={made[0]}"])
    assert config_hash(config) == config_hash(pixels)
    source = DatasetSource(config)
    assert source.digest == DatasetSource(pixels).digest
    source.check_encoders(Animator(config.model))
    batch = next(source.batches(0, 1, 0, 3))
    assert batch.latents.shape == (3, 4, 2, *LATENT)
    assert batch.text.shape == (3, 77, 64)
    other_codec = "model.codec={kind: dct, luma: 4, chroma: 2}"
    other = resolve(3, "tiny", [*sets, f"data.latents={made[0]}", other_codec])
    with pytest.raises(
        AnimaticError, match=r"made with another codec \(.*, not .*\): encode into a new folder"
    ):
        DatasetSource(other).check_encoders(Animator(other.model))
    words = resolve(3, "tiny", [*sets, f"data.latents={made[0]}", "model.encoders.seed=1"])
    with pytest.raises(AnimaticError, match="made with another text tower"):
        DatasetSource(words).check_encoders(Animator(words.model))
    larger = resolve(3, "tiny", [*sets, f"data.latents={made[0]}", "model.height=64"])
    with pytest.raises(AnimaticError, match=r"made with another height \(32, not 64\)"):
        DatasetSource(larger)


def test_the_command_encodes_and_a_second_call_does_nothing(dataset, tmp_path):
    sets = [part for n, v in SIZE.items() for part in ("--set", f"{n}={v}")]
    call = ["encode", dataset.url, "--to", str(tmp_path / "out"), "--preset", "tiny", "--workers", "0", *sets]
    for skipped in (0, 3):
        result = CliRunner().invoke(app, [*call, "--json"])
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)["report"]
        assert (report["encoded"], report["skipped_units"]) == (5, skipped)
    printed = CliRunner().invoke(app, call).stdout
    assert printed.startswith("nothing left to do: every unit was finished before\n5 samples: 5 encoded")
    reasons = {
        "float8": "precision: Input should be 'float32' (got 'float8')",
        "bfloat16": "precision: bfloat16 moves the mean of a latent by 1 %",
    }
    for precision, reason in reasons.items():
        refused = CliRunner().invoke(app, [*call, "--precision", precision])
        assert refused.exit_code == 1
        assert reason in " ".join(refused.stderr.split())
    nothing = CliRunner().invoke(app, [*call[:1], str(tmp_path), *call[2:]])
    assert nothing.exit_code == 1
    assert "error: no dataset at" in nothing.stderr


def test_text_of_the_first_of_several_captions_is_announced(tmp_path, caplog):
    dataset = build_dataset(tmp_path / "data", [8], captions=[["one", "two"]])
    encode(config_of(dataset, tmp_path / "plain", encoders=None))
    assert "several captions" not in caplog.text
    encode(config_of(dataset, tmp_path / "text"))
    assert "training reads them with data.captions.draw=first" in caplog.text
    latents = Latents.open(tmp_path / "text", dataset)
    first = WeightedDataset(dataset, latents=latents, captions=Captions(draw="first"))
    sampling = ClipSampling(frames=4, height=32, width=48)
    first.check_sampling(sampling)
    with pytest.raises(AnimaticError, match="encode without --text"):
        WeightedDataset(dataset, latents=latents).check_sampling(sampling)
