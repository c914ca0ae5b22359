"""Exports of bundles with Stable Diffusion's autoencoder: further formats, and parts that are not in them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import AnimaticError
from models import public_keys
from models.bundle import Bundle, BundleOrigin, open_bundle, write_bundle
from models.checkpoints import published_layout
from models.diffusion.settings import SamplingSettings
from orchestration.export import read_export
from orchestration.workspace import Workspace
from tests.support.exports import export_to, manifest_of
from tests.support.published import small_published_architecture


def make_bundle(folder: Path, *, with_codec: bool) -> Bundle:
    """A small bundle in the published layout; without its autoencoder, that is in ``codec.safetensors``."""
    architecture = small_published_architecture(detail_guidance=True)
    generator = torch.Generator().manual_seed(0)
    shapes = {key: shape for part in published_layout(architecture).values() for key, shape in part.items()}
    state = {key: torch.randn(shape, generator=generator) * 0.1 for key, shape in shapes.items()}
    codec = {key: state[key] for key in state if key.startswith(public_keys.AUTOENCODER)}
    if not with_codec:
        save_file(codec, folder.parent / "codec.safetensors")
        torch.save(codec, folder.parent / "codec.ckpt")
        state = {key: state[key] for key in state.keys() - codec.keys()}
    origin = BundleOrigin(
        architecture=architecture,
        stage=3,
        preset="tiny",
        config_hash="",
        dataset_digest=None,
        parent=None,
        sampling=SamplingSettings(steps=2),
    )
    write_bundle(folder, state, origin, model_card="# small\n")
    return open_bundle(folder)


@pytest.mark.slow
def test_formats_are_exported_beside_the_bundle_and_not_written_twice(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", with_codec=True)
    options = {"formats": ("diffusers", "dynamicrafter"), "name": "live"}
    workspace, url = Workspace(tmp_path / "runs"), tmp_path / "serving"
    result = export_to(url, workspace, str(bundle.folder), **options)
    folder = url / result.published.export.folder
    assert manifest_of(result).formats == ("bundle", "dynamicrafter", "diffusers")
    stored = load_file(bundle.weights)
    exported = load_file(folder / "dynamicrafter" / "model.safetensors")
    assert len(exported) == len(stored)
    assert (folder / "diffusers" / "vae" / "config.json").is_file()
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    (folder / "dynamicrafter" / "model.safetensors").unlink()
    again = export_to(url, workspace, str(bundle.folder), **options)
    assert again.published.copied.names == ("dynamicrafter/model.safetensors",)
    kept = {path for path, time in written.items() if path.stat().st_mtime_ns == time}
    assert written.keys() - kept == {folder / "dynamicrafter" / "model.safetensors"}


def test_a_part_that_the_bundle_lacks_is_exported_with_it(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", with_codec=False)
    workspace, url = Workspace(tmp_path / "runs"), tmp_path / "serving"
    with pytest.raises(AnimaticError, match="lacks the autoencoder"):
        export_to(url, workspace, str(bundle.folder), name="live")
    with pytest.raises(AnimaticError, match=r"codec.ckpt .* is a pickle, and exports contain none"):
        export_to(url, workspace, str(bundle.folder), name="live", codec=tmp_path / "codec.ckpt")
    result = export_to(url, workspace, str(bundle.folder), name="live", codec=tmp_path / "codec.safetensors")
    assert manifest_of(result).parts == {"codec": "parts/codec.safetensors"}
    (tmp_path / "codec.safetensors").unlink()
    exported = read_export(str(url), "live", to=tmp_path / "cache")
    assert exported.animator().codec is not None
