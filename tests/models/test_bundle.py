"""Bundles: whole or absent, verified on opening."""

import json
import subprocess
import sys

import pytest
import torch

from core.code_version import code_version
from core.errors import AnimaticError
from core.files import sha256
from models import PRIOR
from models.animator import Animator
from models.architecture import Architecture, EncoderConfig
from models.bundle import BundleOrigin, open_bundle, reading, write_bundle
from models.diffusion.settings import SamplingSettings
from models.network.network import Network
from models.network.parameter_names import public_shapes, public_state

SAMPLING = SamplingSettings(steps=8, text_guidance=2.0)


@pytest.fixture
def written(small: Architecture, tmp_path):
    torch.manual_seed(0)
    animator = Animator(small)
    folder = tmp_path / "bundle"
    bundle_id = write_bundle(
        folder,
        public_state(animator.network),
        BundleOrigin(
            architecture=small,
            stage=2,
            preset="tiny",
            config_hash="c" * 64,
            dataset_digest="d" * 64,
            parent=None,
            sampling=SAMPLING,
        ),
        model_card="# A model\n",
    )
    return animator, folder, bundle_id


def test_an_opened_bundle_gives_the_same_network(written):
    animator, folder, bundle_id = written
    bundle = open_bundle(folder)
    assert bundle.id == bundle_id
    assert (bundle.info.stage, bundle.info.preset, bundle.card) == (2, "tiny", "# A model\n")
    restored = dict(bundle.animator().network.named_parameters())
    assert all(torch.equal(value, restored[name]) for name, value in animator.network.named_parameters())


def test_the_version_and_commit_of_the_code_are_recorded_in_the_bundle(written):
    _, folder, _ = written
    assert open_bundle(folder).info.code_version == code_version()


def test_sampling_settings_are_recorded_in_the_bundle(written):
    _, folder, _ = written
    assert open_bundle(folder).info.sampling_defaults == SAMPLING


def test_a_bundle_without_sampling_settings_has_general_defaults(written):
    _, folder, _ = written
    info = json.loads((folder / "bundle.json").read_text())
    del info["sampling"]
    (folder / "bundle.json").write_text(json.dumps(info))
    assert open_bundle(folder).info.sampling_defaults == SamplingSettings()


@pytest.mark.parametrize("animates", [True, False])
def test_a_bundle_uses_the_encoders_in_its_file_if_they_are_all_that_its_network_needs(
    small: Architecture, tmp_path, animates
):
    public = {"encoders": EncoderConfig(), "codec": small.codec}
    if not animates:
        public |= {"context": None, "unet": small.unet.model_copy(update={"image_cross_attention": False})}
    architecture = small.model_copy(update=public)
    write_bundle(
        tmp_path / "bundle",
        public_state(Network(architecture)) | {"cond_stage_model.model.ln_final.bias": torch.zeros(1024)},
        BundleOrigin(
            architecture=architecture,
            stage=0,
            preset="tiny",
            config_hash="",
            dataset_digest=None,
            parent=None,
        ),
        model_card="# A model\n",
    )
    bundle = open_bundle(tmp_path / "bundle")
    # The text encoder is enough for a network that no image is given to.
    expected = None if animates else str(bundle.weights.resolve())
    assert bundle.complete_architecture().encoders.path == expected


def test_extra_keys_of_a_newer_version_are_kept(written):
    _, folder, _ = written
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(info | {"extra": {"seed": 3, "reviewed": "yes"}}))
    assert open_bundle(folder).info.extra == {"seed": 3, "reviewed": "yes"}


def test_a_bundle_is_read_and_verified_without_torch():
    code = (
        f"import sys; from models.bundle import open_bundle; bundle = open_bundle({str(PRIOR)!r}); "
        "print(len(bundle.shapes()), bundle.complete_architecture().frames, 'torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    prior = open_bundle(PRIOR, verify=False).info.architecture
    assert finished.stdout.split() == [str(len(public_shapes(prior))), str(prior.frames), "False"]


def test_the_id_is_a_function_of_the_content(written, small, tmp_path):
    animator, _, bundle_id = written
    origin = BundleOrigin(
        architecture=small,
        stage=2,
        preset="tiny",
        config_hash="c" * 64,
        dataset_digest="d" * 64,
        parent=None,
        sampling=SAMPLING,
    )
    state = public_state(animator.network)
    assert write_bundle(tmp_path / "same", state, origin, model_card="# A model\n") == bundle_id
    state["image_proj_model.latents"] = state["image_proj_model.latents"] + 1
    assert write_bundle(tmp_path / "other", state, origin, model_card="# A model\n") != bundle_id


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
def test_a_changed_file_is_refused(written, name):
    _, folder, _ = written
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(AnimaticError, match=rf"tampered.*{name}"):
        open_bundle(folder)


def test_the_id_is_that_of_the_description_that_was_read(written, monkeypatch):
    _, folder, bundle_id = written
    path = folder / "bundle.json"

    def replace_meanwhile(file):
        path.write_text(path.read_text() + "\n")
        return sha256(file)

    monkeypatch.setattr(reading, "sha256", replace_meanwhile)
    assert open_bundle(folder).id == bundle_id


def test_missing_files_and_foreign_formats_are_named(written, tmp_path):
    _, folder, _ = written
    with pytest.raises(AnimaticError, match="no bundle at"):
        open_bundle(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(AnimaticError, match=r"incomplete: model\.safetensors is missing"):
        open_bundle(folder)
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(AnimaticError, match="format 99"):
        open_bundle(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"format": 1, "stage": "third"}'])
def test_an_invalid_description_is_refused(written, content):
    _, folder, _ = written
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(AnimaticError, match=r"bundle\.json is "):
        open_bundle(folder)


def test_a_bundle_is_never_overwritten(written, small):
    animator, folder, _ = written
    with pytest.raises(AnimaticError, match="never overwritten"):
        write_bundle(
            folder,
            public_state(animator.network),
            BundleOrigin(
                architecture=small,
                stage=1,
                preset="tiny",
                config_hash="",
                dataset_digest=None,
                parent=None,
            ),
            model_card="",
        )


def test_a_failed_write_leaves_nothing(small, tmp_path):
    origin = BundleOrigin(
        architecture=small, stage=3, preset="tiny", config_hash="", dataset_digest=None, parent=None
    )
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "bundle", tmp_path / "absent.safetensors", origin, model_card="")
    assert list(tmp_path.iterdir()) == []
