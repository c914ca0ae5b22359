"""The evaluation job on Ray actors: one report for any number of workers, resumed, clear on errors."""

import json
import shutil

import numpy as np
import pytest

from core.errors import AnimaticError
from models.animate import animate
from orchestration.demo.footage import FPS, draw_scene, encode, render
from pipelines.evaluate import bundle_system, evaluate, plan_evaluation, read_report
from pipelines.evaluate.protocols import open_held_out
from pipelines.evaluate.systems import noise_seed
from tests.support.small_evaluation import ARCHITECTURE, configure, make_bundle, make_clips

CLIPS = 5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"), CLIPS)


@pytest.fixture
def config(clips, tmp_path):
    return configure(clips, tmp_path / "evaluation")


def test_report_covers_every_clip_and_does_not_depend_on_workers_or_interruption(bundle, config):
    seen = []
    report = evaluate(bundle, config, lambda done, total: seen.append((done, total)))

    written = (config.output / "report.json").read_bytes()
    assert report == json.loads(written) == read_report(config.output / "report.json")
    assert report["protocol"]["n"] == len(report["clips"]) == CLIPS
    assert {row["key"] for row in report["clips"]} == {f"scene-{n}" for n in range(CLIPS)}
    metrics = report["metrics"]
    assert metrics["direction_on_real"]["value"] == 1.0
    assert metrics["direction"]["n"] == CLIPS
    psnr = metrics["first_frame_psnr"]
    assert psnr["low"] <= psnr["value"] <= psnr["high"]
    assert metrics["denoising_loss"]["n"] == CLIPS
    assert metrics["denoising_loss"]["version"] == f"denoising_loss/1+{ARCHITECTURE.denoising_target}"
    assert seen[0] == (0, CLIPS)
    assert seen[-1] == (CLIPS, CLIPS)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    chunk = np.load(config.output / "chunks" / "chunk-00000.npz")
    assert chunk["generated"].shape == chunk["real"].shape == (2, 4, 32, 32, 3)
    assert list(chunk["keys"]) == [row["key"] for row in report["clips"][:2]]
    assert chunk["generated"].std() > 1
    assert not np.array_equal(chunk["generated"][0], chunk["generated"][1])

    kept = config.output / "chunks" / "chunk-00000.npz"
    when = kept.stat().st_mtime_ns
    (config.output / "report.json").unlink()
    (config.output / "chunks" / "chunk-00001.json").unlink()
    for rows in (config.output / "measured").glob("*/chunk-00002.json"):
        rows.unlink()
    generated, measured = [], []
    evaluate(
        bundle,
        config.model_copy(update={"workers": 1}),
        lambda done, _: generated.append(done),
        lambda done, _: measured.append(done),
    )
    assert (config.output / "report.json").read_bytes() == written
    assert (generated, measured) == ([CLIPS - 2, CLIPS], [CLIPS - 1, CLIPS])
    assert kept.stat().st_mtime_ns == when

    with pytest.raises(
        AnimaticError, match=r"another protocol.clips, protocol.n, protocol.seed; choose another"
    ):
        evaluate(bundle, config.model_copy(update={"seed": 1, "clips": 3}))


def test_metrics_are_added_to_clips_that_exist(bundle, config):
    config = config.model_copy(update={"workers": 0})
    first = evaluate(bundle, config.model_copy(update={"metrics": ("first_frame_psnr",)}))
    assert first["metrics"].keys() == {"first_frame_psnr"}
    clips = config.output / "chunks" / "chunk-00000.npz"
    when = clips.stat().st_mtime_ns
    both = evaluate(bundle, config.model_copy(update={"metrics": ("flicker", "first_frame_psnr")}))
    assert list(both["metrics"]) == ["first_frame_psnr", "flicker", "flicker_on_real"]
    assert both["metrics"]["first_frame_psnr"] == first["metrics"]["first_frame_psnr"]
    assert clips.stat().st_mtime_ns == when


@pytest.mark.parametrize(
    ("name", "message"), [("sharpness", "no metric is named 'sharpness'; there are first_frame_psnr, ")]
)
def test_a_metric_that_cannot_be_measured_is_an_error_before_anything_is_generated(
    bundle, config, name, message
):
    with pytest.raises(AnimaticError, match=message):
        evaluate(bundle, config.model_copy(update={"metrics": (name,)}))
    assert not config.output.exists()


def test_a_network_whose_results_are_not_finite_is_refused(config, tmp_path):
    broken = make_bundle(tmp_path / "broken", spoil=True)
    with pytest.raises(AnimaticError, match=r"^weight .* of the model is not finite: restore the bundle"):
        evaluate(broken, config.model_copy(update={"workers": 1, "clips": 1}))
    assert not (config.output / "report.json").exists()


def test_too_few_clips_are_refused(bundle, config):
    with pytest.raises(AnimaticError, match=r"5 of 5 held-out clips have the 10 frames needed, 6 requested"):
        evaluate(bundle, config.model_copy(update={"clips": 6}))


def test_an_evaluation_is_that_of_the_content_of_its_autoencoder(bundle, config, tmp_path):
    weights, copy = tmp_path / "vae.safetensors", tmp_path / "copy.safetensors"
    weights.write_bytes(b"first")
    shutil.copy(weights, copy)

    def protocol(path):
        chosen = config.model_copy(update={"codec": str(path)})
        return plan_evaluation(bundle_system(bundle, chosen), chosen).identity

    first = protocol(weights)
    assert first == protocol(copy)
    weights.write_bytes(b"second")
    assert first != protocol(weights)


def test_a_clip_without_a_caption_is_named(bundle, config, tmp_path):
    folder = tmp_path / "silent"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"")
    with pytest.raises(AnimaticError, match=r"a\.mp4 has no caption: write it to a\.txt"):
        evaluate(bundle, config.model_copy(update={"data": str(folder)}))
    (folder / "a.txt").write_bytes("un café".encode("latin-1"))
    with pytest.raises(AnimaticError, match=r"a\.txt is not UTF-8 text \(byte 6\): store it as UTF-8"):
        evaluate(bundle, config.model_copy(update={"data": str(folder)}))
    (folder / "a.txt").write_text("a boat")
    with pytest.raises(AnimaticError, match=r"a\.mp4 is not a video"):
        evaluate(bundle, config.model_copy(update={"data": str(folder)}))


def test_a_bundle_that_changes_during_the_evaluation_is_refused(config, tmp_path):
    folder = tmp_path / "bundle"
    system = bundle_system(make_bundle(folder), config)
    shutil.rmtree(folder)
    make_bundle(folder, seed=1)
    with pytest.raises(AnimaticError, match="has changed since the evaluation began"):
        system.open("cpu")


@pytest.mark.parametrize(("condition", "expected"), [("fps", {FPS / 3, FPS}), ("stride", {3.0})])
def test_clips_are_generated_at_the_rate_of_the_real_ones(
    bundle, config, clips, tmp_path, monkeypatch, condition, expected
):
    data = tmp_path / "two-rates"
    shutil.copytree(clips, data)
    encode(render(draw_scene(3, 0), size=64), data / "scene-0.mp4", 3 * FPS)
    chosen = config.model_copy(
        update={"data": str(data), "fps_condition": condition, "workers": 0, "clips": None}
    )
    rates = []

    def recording(animator, images, prompts, settings, seeds):
        rates.append(settings.fps)
        return animate(animator, images, prompts, settings, seeds=seeds)

    monkeypatch.setattr("models.animate.animate", recording)
    report = evaluate(bundle, chosen)
    assert set(rates) == expected
    assert {row["fps"] for row in report["clips"]} == {FPS / 3, FPS}


def test_the_noise_of_a_clip_depends_on_the_seed_and_its_key_alone(bundle, config):
    """Neither on its batch nor on which clips there are; arithmetic may differ by a rounding."""
    system = bundle_system(bundle, config)
    held_out, shape = open_held_out(config.data), system.shape(3)
    real = [clip.sample(shape, 0) for clip in held_out.clips]
    opened = system.open("cpu")
    together = opened.generate(real, 0).astype(int)
    for number in (0, 3):
        alone = opened.generate([real[number]], 0)[0].astype(int)
        assert np.abs(alone - together[number]).max() <= 1
        other = opened.generate([real[number]], 1)[0].astype(int)
        assert np.abs(other - together[number]).max() > 10
    assert noise_seed(0, "a") != noise_seed(0, "b") != noise_seed(1, "b")
