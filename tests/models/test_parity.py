"""Our numbers equal the published ones, and the tool that compares them detects when they do not."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.encoders.vae import build_vae, to_ldm
from models.network import parameter_names
from tests.parity import building, drawn
from tests.parity.__main__ import main
from tests.parity.cases import VideoCase, read_case
from tests.parity.video import VideoNumbers
from tests.support.paths import GOLDEN

IMAGE_VALUES = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v_ip.weight"


class Trial:
    """The 512 case, to be changed and run: its document, expected outputs and gradient norms."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "case.json"
        self.document = json.loads((GOLDEN / "512.json").read_text())
        self.expected = load_file(GOLDEN / "512.safetensors")
        self.norms = self.document.pop("grad_norm")

    def run(self, names=("unet_out",), norms=()) -> int:
        """The tool's exit code on these outputs and gradient norms alone."""
        self.document["grad_norm"] = {key: self.norms[key] for key in norms}
        self.path.write_text(json.dumps(self.document))
        outputs = {name: self.expected[name] for name in names}
        save_file(outputs, self.path.with_suffix(".safetensors"))
        return main([str(self.path)])


@pytest.fixture
def trial(tmp_path) -> Trial:
    return Trial(tmp_path)


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", ["256", "512", "interp", "clip"])
def test_published_numbers(name, capsys):
    assert main([str(GOLDEN / f"{name}.json")]) == 0
    results = lines(capsys)
    assert all(result["pass"] and result["max_abs_error"] <= result["tolerance"] for result in results)
    expected = set(load_file(GOLDEN / f"{name}.safetensors"))
    if name != "clip":
        expected.add("grad_norm")
    assert {result["name"] for result in results} == expected
    assert {result["case"] for result in results} == {name}


def test_a_new_case_runs_completely(tmp_path, capsys):
    """Other widths, depths, multipliers, frame count and latent shape; the second frame's own context."""
    document = json.loads((GOLDEN / "256.json").read_text())
    document |= {"case": "new", "frames": 3, "latent_hw": [4, 8], "batch": 1, "t": [600], "fs": [7]}
    document["conditioning_frame"] = 2
    document["unet"] |= {
        "model_channels": 64,
        "channel_mult": [1, 2, 1],
        "num_res_blocks": 1,
        "attention_resolutions": [2],
        "transformer_depth": 2,
        "context_dim": 32,
        "image_cross_attention_scale_learnable": False,
    }
    document["resampler"] |= {"depth": 1, "video_length": 3, "output_dim": 32, "embedding_dim": 24}
    document["vae"] |= {"ch_mult": [1, 1, 2, 2], "num_res_blocks": 1}
    document |= {"grad_norm": {}, "parameters": {}}
    document["parameters"] = public_shapes(VideoCase.model_validate(document))
    numbers = VideoNumbers(VideoCase.model_validate(document))
    outputs = {name: compute().contiguous().clone() for name, compute in numbers.outputs().items()}
    assert outputs["unet_out"].shape == (1, 4, 3, 4, 8)
    assert all(value.isfinite().all() for value in outputs.values())
    document["grad_norm"] = numbers.gradient_norms()
    (tmp_path / "new.json").write_text(json.dumps(document))
    save_file(outputs, tmp_path / "new.safetensors")
    assert main([str(tmp_path / "new.json")]) == 0
    assert len(lines(capsys)) == len(outputs) + 1
    document["ddim"]["text_guidance"] = 6.0
    (tmp_path / "new.json").write_text(json.dumps(document))
    assert main([str(tmp_path / "new.json")]) == 1
    failed = {result["name"] for result in lines(capsys) if not result["pass"]}
    assert failed == {"ddim_single_guidance", "ddim_multi_guidance"}


def test_a_wrong_weight_fails(trial, capsys, monkeypatch):
    right = drawn.weight

    def nudged(key, shape, seed):
        return right(key, shape, seed) * (1.01 if key == IMAGE_VALUES else 1)

    monkeypatch.setattr(drawn, "weight", nudged)
    assert trial.run(["unet_out", "resampler_out"]) == 1
    assert {result["name"]: result["pass"] for result in lines(capsys)} == {
        "unet_out": False,
        "resampler_out": True,
    }


@pytest.mark.parametrize(
    ("section", "key", "value", "failing"),
    [
        ("ddim", "image_guidance", 2.1, "ddim_multi_guidance"),
        ("ddim", "guidance_rescale", 0.6, "ddim_multi_guidance"),
        (None, "base_scale", 0.8, "x_noisy"),
        (None, "conditioning_frame", 0, "unet_out"),
        ("unet", "default_fs", 10, "unet_out_default_fs"),
        (None, "zero_terminal_snr", False, "alphas_cumprod"),
    ],
)
def test_a_wrong_setting_fails(trial, capsys, section, key, value, failing):
    (trial.document[section] if section else trial.document)[key] = value
    assert trial.run([failing, "resampler_out"]) == 1
    results = {result["name"]: result["pass"] for result in lines(capsys)}
    assert results == {failing: False, "resampler_out": True}


def test_a_wrong_gradient_norm_is_named(trial, capsys):
    other = "image_proj_model.latents"
    trial.norms[IMAGE_VALUES] *= 1.002
    assert trial.run(["loss"], norms=[IMAGE_VALUES, other]) == 1
    loss, norms = lines(capsys)
    assert loss["pass"] and not norms["pass"]
    assert norms["max_abs_error"] == pytest.approx(0.002, rel=0.02)
    assert IMAGE_VALUES in norms["detail"]


def test_rounding_noise_of_a_gradient_is_compared_absolutely(trial, capsys):
    noise = min(trial.norms, key=trial.norms.get)
    assert 0 < trial.norms[noise] < 1e-8
    trial.norms[noise] *= 50
    assert trial.run(["loss"], norms=[noise]) == 0
    trial.norms[noise] = 1e-5
    assert trial.run(["loss"], norms=[noise]) == 1
    assert "rel" in lines(capsys)[-1]["detail"]


def test_non_finite_and_misshapen_outputs_fail_in_valid_json(trial, capsys):
    trial.expected["unet_out"] *= math.nan
    trial.expected["target"] = trial.expected["target"][:1].clone()
    assert trial.run(["unet_out", "target"]) == 1
    results = {result["name"]: result for result in lines(capsys)}
    assert all(result["max_abs_error"] is None and not result["pass"] for result in results.values())
    assert results["target"]["detail"] == "the shape is (2, 4, 4, 8, 12), not (1, 4, 4, 8, 12)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(stray=1), "stray"),
        (lambda d: d["unet"].update(use_relative_position=True), "unet.use_relative_position"),
        (lambda d: d["unet"].pop("context_dim"), "unet.context_dim: Field required"),
        (lambda d: d["ddim"].update(eta=1.0), "ddim.eta"),
        (lambda d: d.update(parameterization="eps"), "zero terminal SNR"),
        (lambda d: d.update(t=[1]), "batch is 2, but t has 1"),
        (lambda d: d["unet"].update(num_res_blocks=2), "missing"),
        (lambda d: d["unet"].update(model_channels=40), "not divisible by norm_groups=32"),
        (lambda d: d["vae"].update(ch=24), "a vae level of width 24"),
        (lambda d: d.update(latent_hw=[8, 9]), "multiples of 16"),
        (lambda d: d.update(t=[150, 1000]), "t.1: Input should be less than 1000"),
        (lambda d: d["parameters"].update({IMAGE_VALUES: [64, 32]}), "another shape"),
    ],
)
def test_an_invalid_case_is_refused(trial, capsys, change, message):
    change(trial.document)
    assert trial.run() == 2
    assert message in one_error(capsys)


def test_unreadable_files_are_refused(trial, capsys, tmp_path):
    trial.expected["unet_uot"] = trial.expected["unet_out"]
    assert trial.run(["unet_uot"]) == 2
    assert "unknown output unet_uot; known are" in one_error(capsys)
    trial.path.with_suffix(".safetensors").write_bytes(b"\x10")
    assert main([str(trial.path)]) == 2
    assert "damaged" in one_error(capsys)
    trial.path.with_suffix(".safetensors").unlink()
    assert main([str(trial.path)]) == 2
    assert "expected outputs are missing" in one_error(capsys)
    trial.path.write_text('{"case": ')
    assert main([str(trial.path)]) == 2
    assert "is not JSON" in one_error(capsys)
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file" in one_error(capsys)


def test_a_gradient_norm_of_a_frozen_parameter_is_refused(trial, capsys):
    trial.norms["first_stage_model.quant_conv.bias"] = 1.0
    assert trial.run(norms=["first_stage_model.quant_conv.bias"]) == 2
    assert "no parameter of UNet or query transformer" in one_error(capsys)


def test_clip_settings_that_open_clip_lacks_are_refused(tmp_path, capsys):
    document = json.loads((GOLDEN / "clip.json").read_text())
    document["vision_cfg"]["stray"] = 1
    (tmp_path / "clip.json").write_text(json.dumps(document))
    save_file({"text": torch.zeros(1)}, tmp_path / "clip.safetensors")
    assert main([str(tmp_path / "clip.json")]) == 2
    assert "open_clip has no such setting" in one_error(capsys)


def test_an_unreadable_case_does_not_hide_the_others(trial, capsys, tmp_path):
    assert trial.run(["x_noisy"]) == 0
    assert main([str(tmp_path / "none.json"), str(trial.path)]) == 2
    assert [result["pass"] for result in lines(capsys)] == [True, True]


def test_shipped_cases_are_complete():
    for path in GOLDEN.glob("*.json"):
        case, expected = read_case(path)
        assert case.case == path.stem and expected
    assert all(path.stat().st_size < 1 << 20 for path in GOLDEN.rglob("*"))


def public_shapes(case: VideoCase) -> dict[str, list[int]]:
    """Shapes of an architecture's parameters, autoencoder included."""
    codec = building.codec(case, "unused")
    shapes = dict(parameter_names.public_shapes(building.architecture(case, codec)))
    shapes |= {key: value.shape for key, value in to_ldm(build_vae(codec, device="meta")).items()}
    return {key: list(shape) for key, shape in shapes.items()}


def one_error(capsys) -> str:
    """The single line on stderr, nothing having been printed to stdout."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and not captured.out
    return line


@pytest.fixture(autouse=True)
def threads():
    """The tool sets one thread for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
