"""Published checkpoints through the command line."""

import json

import pytest

from models.bundle import open_bundle
from models.checkpoints import VARIANTS
from tests.support.command import fails, run
from tests.support.published import SMALL, legacy, random_state, read, same, write


@pytest.fixture(autouse=True)
def small_variants(monkeypatch):
    """Small variants in place of the published ones."""
    for name in list(VARIANTS):
        monkeypatch.delitem(VARIANTS, name)
    for name, variant in SMALL.items():
        monkeypatch.setitem(VARIANTS, name, variant)


def test_a_file_goes_in_and_comes_out_the_same(here):
    state = legacy(random_state(SMALL["gated"]))
    state["model_ema.decay"] = state["betas"][0].clone()
    write(here / "x.safetensors", state)
    result = run("import-checkpoint", "x.safetensors")
    assert result.exit_code == 0, result.output
    assert "left out: model_ema.* (1)" in result.stdout
    folder = here / "runs" / "imported" / "gated"
    assert f"gated: bundle {open_bundle(folder).id[:12]}" in result.stdout
    result = run("export-checkpoint", folder, "--as", "dynamicrafter", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["tensors"] == len(state) - 1
    del state["model_ema.decay"]
    assert same(read(folder.with_name("gated.ckpt")), state)
    fails("never overwritten", "import-checkpoint", "x.safetensors")
    fails("not overwritten", "export-checkpoint", folder, "--as", "dynamicrafter")


def test_parts_are_written_for_diffusers(here):
    write(here / "x.safetensors", random_state(SMALL["scaled-0.7"]))
    run("import-checkpoint", "x.safetensors", "--as", "scaled-0.7", "--out", "bundle")
    result = run("export-checkpoint", "bundle", "--as", "diffusers", "--json")
    assert result.exit_code == 0, result.output
    exported = json.loads(result.stdout)
    assert exported["parts"]["vae"] == "diffusers.AutoencoderKL" and exported["parts"]["unet"] == ""
    assert "dynamic rescale" in exported["left_out"]["scheduler"]
    assert all((here / "bundle-diffusers" / name).is_file() for name in exported["files"])
    fails("not overwritten", "export-checkpoint", "bundle", "--as", "diffusers")


def test_ambiguity_is_reported_and_resolved(here):
    write(here / "x.safetensors", random_state(SMALL["scaled-0.7"]))
    result = run("import-checkpoint", "x.safetensors", "--out", "one", "--json")
    assert result.exit_code == 0, result.output
    imported = json.loads(result.stdout)
    assert imported["variant"] == "scaled-0.7"
    assert "--as scaled-0.7-interp" in imported["remarks"][0]
    result = run("import-checkpoint", "x.safetensors", "--as", "scaled-0.7-interp", "--out", "two")
    assert result.exit_code == 0, result.output
    assert open_bundle(here / "two").info.extra["variant"] == "scaled-0.7-interp"


def test_square_brackets_in_a_path_are_not_markup(here, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    name = "[bold]x [/y] [z].safetensors".replace("/", "_")
    write(here / name, random_state(SMALL["gated"]))
    result = run("import-checkpoint", name, "--out", "[red]one[_red]")
    assert result.exit_code == 0, result.output
    assert "[red]one[_red]" in result.stdout


def test_each_mistake_is_reported_in_one_line(here):
    fails("no checkpoint at none.ckpt", "import-checkpoint", "none.ckpt")
    write(here / "x.safetensors", random_state(SMALL["video"]))
    fails("no variant is called 'vidoe'", "import-checkpoint", "x.safetensors", "--as", "vidoe")
    fails("it looks like video", "import-checkpoint", "x.safetensors", "--as", "gated")
    fails(
        "'none' is neither a bundle folder nor the id of a bundle",
        "export-checkpoint",
        "none",
        "--as",
        "dynamicrafter",
    )
    assert run("export-checkpoint", "none", "--as", "other").exit_code == 2
    assert run("export-checkpoint", "none").exit_code == 2
