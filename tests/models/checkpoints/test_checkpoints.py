"""Import and export of published checkpoints, with small networks of the published kinds."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import AnimaticError
from models import checkpoints
from models.animator import Animator
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.checkpoints import export_checkpoint, import_checkpoint
from models.checkpoints.schedule import schedule_buffers
from models.encoders.clip import ClipEncoders
from models.encoders.vae_codec import VaeCodec
from models.network.parameter_names import public_shapes, public_state
from tests.support.published import (
    SMALL,
    legacy,
    random_state,
    read,
    same,
    small_published_architecture,
    write,
)


def imported(path: Path, folder: Path, name: str | None = None, **options):
    return import_checkpoint(path, folder, name, variants=SMALL, **options)


def refused(path: Path, name: str | None = None, **options) -> str:
    """The message of an import that must fail and leave nothing behind."""
    folder = path.parent / "refused" / "bundle"
    with pytest.raises(AnimaticError) as caught:
        imported(path, folder, name, **options)
    assert not folder.parent.exists() or not list(folder.parent.iterdir())
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("file", "container", "dtype"),
    [
        ("x.ckpt", "state_dict", torch.float16),
        ("x.pt", "module", torch.bfloat16),
        ("x.safetensors", "bare", torch.float32),
    ],
)
def test_import_then_export_changes_nothing(tmp_path, file, container, dtype):
    state = legacy(random_state(SMALL["gated"], dtype))
    result = imported(write(tmp_path / file, state, container), tmp_path / "bundle", "gated")
    assert (result.variant, result.container, result.left_out, result.absent) == ("gated", container, {}, ())
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.id == result.id
    assert bundle.info.extra["source"]["name"] == file
    assert bundle.info.sampling == SMALL["gated"].sampling
    for out in ("out.ckpt", "out.safetensors"):
        done = export_checkpoint(bundle, tmp_path / out)
        assert done.tensors == len(state)
        assert set(done.origins.values()) == {"bundle"}
        assert same(read(tmp_path / out), state)


def test_an_imported_embedding_is_exported_under_its_original_name(tmp_path):
    state = random_state(SMALL["gated"])
    imported(write(tmp_path / "x.safetensors", state), tmp_path / "bundle")
    export_checkpoint(open_bundle(tmp_path / "bundle"), tmp_path / "out.ckpt")
    assert same(read(tmp_path / "out.ckpt"), state)


def test_two_names_of_one_tensor_are_refused(tmp_path):
    state = random_state(SMALL["gated"])
    path = write(tmp_path / "x.safetensors", state | {key: x.clone() for key, x in legacy(state).items()})
    assert "two names of one tensor" in refused(path)


def test_an_imported_bundle_is_an_animator_with_its_own_autoencoder(tmp_path):
    state = random_state(SMALL["scaled-0.3"])
    imported(write(tmp_path / "x.safetensors", state), tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.state().keys() == public_shapes(bundle.info.architecture).keys()
    animator = bundle.animator()
    assert isinstance(animator.codec, VaeCodec)
    key = "first_stage_model.decoder.mid.attn_1.q.weight"
    found = animator.codec.vae.decoder.mid_block.attentions[0].to_q.weight
    assert torch.equal(found, state[key][:, :, 0, 0])
    # The schedule of the architecture, not the file's buffers.
    state["alphas_cumprod"] = torch.zeros(1000)
    imported(write(tmp_path / "y.safetensors", state), tmp_path / "other")
    other = open_bundle(tmp_path / "other").animator()
    assert torch.equal(other.diffusion.alphas_cumprod, animator.diffusion.alphas_cumprod)


@pytest.mark.parametrize("name", SMALL)
def test_the_variant_is_detected(tmp_path, name):
    result = imported(write(tmp_path / "x.safetensors", random_state(SMALL[name])), tmp_path / "bundle")
    assert result.variant == name.removesuffix("-interp")
    assert ["scaled-0.7-interp" in remark for remark in result.remarks] == [True] * ("0.7" in name)
    info = open_bundle(tmp_path / "bundle").info
    assert (info.architecture, info.stage) == (SMALL[name].architecture, SMALL[name].stage)


def test_variants_with_the_same_tensors_differ_in_their_scale_or_must_be_named(tmp_path):
    state = random_state(SMALL["scaled-0.7"])
    path = write(tmp_path / "x.safetensors", state)
    message = refused(path, "scaled-0.3")
    assert "scale_arr ends at 0.7, not at 0.3" in message
    assert message.endswith("it looks like scaled-0.7")
    del state["scale_arr"]
    path = write(tmp_path / "y.safetensors", state)
    assert "missing scale_arr" in refused(path, "scaled-0.3")
    assert "missing scale_arr" in refused(path)
    for key in schedule_buffers(SMALL["scaled-0.7"].architecture.diffusion).keys() & state.keys():
        del state[key]
    path = write(tmp_path / "z.safetensors", state)
    message = refused(path, incomplete=True)
    assert "fits scaled-0.7, scaled-0.3, scaled-0.7-interp" in message
    assert "--as" in message
    result = imported(path, tmp_path / "bundle", "scaled-0.7-interp", incomplete=True)
    assert (result.variant, result.absent) == ("scaled-0.7-interp", ("schedule",))
    export_checkpoint(open_bundle(tmp_path / "bundle"), tmp_path / "out.ckpt")
    exported = read(tmp_path / "out.ckpt")
    assert same(exported, random_state(SMALL["scaled-0.7"]))


def test_differences_are_listed_by_module_with_a_hint(tmp_path):
    state = random_state(SMALL["gated"])
    message = refused(write(tmp_path / "gated.safetensors", state), "scaled-0.7")
    assert "attn2.alpha" in message
    assert "missing scale_arr" in message
    assert message.endswith("it looks like gated")
    for key in [key for key in state if ".output_blocks.1.1." in key]:
        del state[key]
    state["model.diffusion_model.out.2.bias"] = torch.zeros(7)
    state["model.diffusion_model.stray.weight"] = torch.zeros(1)
    for message in (
        refused(write(tmp_path / "x.safetensors", state), "gated"),
        refused(tmp_path / "x.safetensors"),
    ):
        assert "model.diffusion_model.output_blocks.1.1.* (" in message
        assert "unexpected model.diffusion_model.stray.weight" in message
        assert "model.diffusion_model.out.2.bias is (7,), not (4,)" in message
    assert "nearest is gated" in message


@pytest.mark.parametrize("prefix", ["first_stage_model.", "cond_stage_model.", "embedder."])
def test_a_file_without_a_part_is_imported_only_on_request(tmp_path, prefix):
    state = {key: x for key, x in random_state(SMALL["gated"]).items() if not key.startswith(prefix)}
    path = write(tmp_path / "x.safetensors", state)
    for message in (refused(path, "gated"), refused(path)):
        assert f"missing {len(SMALL['gated'].required()) - len(state)}: {prefix}" in message
        assert message.endswith("--incomplete accepts a file without these parts")
    result = imported(path, tmp_path / "bundle", incomplete=True)
    assert len(result.absent) == 1
    del state[next(key for key in state if key.startswith("image_proj_model."))]
    assert "missing image_proj_model." in refused(
        write(tmp_path / "y.safetensors", state), "gated", incomplete=True
    )


def test_a_base_is_imported_with_its_network_and_whole_parts_and_lists_the_rest(tmp_path):
    state = random_state(SMALL["video"])
    state["model_ema.decay"] = torch.tensor(0.5)
    state["model_ema.num_updates"] = torch.tensor(3)
    state["cond_stage_model.model.attn_mask"] = torch.zeros(77, 77)
    result = imported(write(tmp_path / "x.safetensors", state), tmp_path / "bundle", "video")
    text = sum(key.startswith("cond_stage_model.") for key in state)
    assert result.left_out == {"model_ema.*": 2, "cond_stage_model.*": text}
    assert result.absent == ("text encoder",)
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.info.stage == 0
    stored = load_file(bundle.weights)
    wanted = {key: x for key, x in state.items() if not key.startswith(("model_ema.", "cond_stage_model."))}
    assert same(stored, wanted)
    with pytest.raises(AnimaticError, match=r"lacks image attention, detail guidance.*stage 3"):
        export_checkpoint(bundle, tmp_path / "out.ckpt")
    state["model.diffusion_model.stray"] = torch.zeros(1)
    assert "unexpected model.diffusion_model.stray" in refused(
        write(tmp_path / "y.safetensors", state), "video"
    )


class Payload:
    """Unpickling it runs code."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_pickle_with_code_is_not_run(tmp_path):
    path, trace = tmp_path / "x.ckpt", tmp_path / "trace"
    state = random_state(SMALL["video"])
    torch.save({"state_dict": state, "callbacks": Payload(trace)}, path)
    message = refused(path)
    assert "contains Python objects besides tensors" in message
    assert "mkdir" in message
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_unreadable_files_have_precise_errors(tmp_path):
    assert "no checkpoint at" in refused(tmp_path / "none.ckpt")
    (tmp_path / "c.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{nothing")
    assert "no safetensors file" in refused(tmp_path / "c.safetensors")
    eight_bit = {key: x.to(torch.int8) for key, x in random_state(SMALL["video"]).items()}
    assert "of type I8" in refused(write(tmp_path / "e.safetensors", eight_bit), "video")
    whole = write(tmp_path / "f.ckpt", random_state(SMALL["image"])).read_bytes()
    (tmp_path / "f.ckpt").write_bytes(whole[: len(whole) // 2])
    assert "no checkpoint, or a damaged one" in refused(tmp_path / "f.ckpt")
    torch.save({"state_dict": {"x": 3}}, tmp_path / "g.ckpt")
    assert "entries that are no tensors: x" in refused(tmp_path / "g.ckpt")


def test_bare_files_older_than_zip_archives_and_tied_tensors_are_read(tmp_path):
    state = random_state(SMALL["image"])
    alike = [key for key, x in state.items() if x.shape == (32,) and "diffusion_model" in key][:2]
    state[alike[1]] = state[alike[0]]
    transposed = next(key for key, x in state.items() if x.shape == (32, 32) and "diffusion_model" in key)
    state[transposed] = state[transposed].t()
    torch.save(state, tmp_path / "x.bin", _use_new_zipfile_serialization=False)
    assert imported(tmp_path / "x.bin", tmp_path / "bundle").container == "bare"
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), state)


def _trained(folder: Path, animator: Animator) -> Path:
    """A bundle as training writes it: the network alone."""
    write_bundle(
        folder,
        public_state(animator.network),
        BundleOrigin(
            architecture=animator.architecture,
            stage=3,
            preset="tiny",
            config_hash="c",
            dataset_digest=None,
            parent=None,
        ),
        model_card="",
    )
    return folder


@pytest.fixture
def autoencoder(tmp_path) -> Path:
    """A file with an autoencoder under its public names."""
    path = tmp_path / "vae.safetensors"
    state = random_state(SMALL["gated"])
    save_file({key: x for key, x in state.items() if key.startswith("first_stage_model.")}, path)
    return path


def test_a_trained_bundle_is_completed(tmp_path, autoencoder):
    architecture = small_published_architecture(detail_guidance=True, learnable_gate=True)
    codec = architecture.codec.model_copy(update={"path": str(autoencoder)})
    torch.manual_seed(0)
    animator = Animator(architecture.model_copy(update={"codec": codec}))
    bundle = open_bundle(_trained(tmp_path / "bundle", animator))
    done = export_checkpoint(bundle, tmp_path / "out.safetensors")
    state = read(tmp_path / "out.safetensors")
    wanted = legacy({key: x for part in SMALL["gated"].layout().values() for key, x in part.items()})
    assert {key: tuple(value.shape) for key, value in state.items()} == wanted
    assert done.origins["network"] == "bundle"
    assert done.origins["schedule"] == "computed"
    clip = ClipEncoders(architecture.encoders).clip
    assert torch.equal(state["embedder.model.visual.conv1.weight"], clip.visual.conv1.weight)
    assert torch.equal(state["cond_stage_model.model.ln_final.weight"], clip.ln_final.weight)
    result = imported(tmp_path / "out.safetensors", tmp_path / "again")
    assert result.variant == "gated"
    again = open_bundle(tmp_path / "again").state()
    assert same(again, public_state(animator.network))


def test_a_missing_part_is_named_and_can_be_given(tmp_path, autoencoder):
    architecture = small_published_architecture(detail_guidance=True, learnable_gate=True)
    codec = architecture.codec.model_copy(update={"path": str(autoencoder)})
    animator = Animator(architecture.model_copy(update={"codec": codec}))
    animator.architecture = architecture
    bundle = open_bundle(_trained(tmp_path / "bundle", animator))
    with pytest.raises(AnimaticError, match=r"lacks the autoencoder \(--codec"):
        export_checkpoint(bundle, tmp_path / "out.ckpt")
    done = export_checkpoint(bundle, tmp_path / "out.ckpt", codec=str(autoencoder))
    assert done.origins["autoencoder"] == str(autoencoder)
    with pytest.raises(AnimaticError, match="exists and is not overwritten"):
        export_checkpoint(bundle, tmp_path / "out.ckpt", codec=str(autoencoder))
    with pytest.raises(AnimaticError, match=r"must end in \.ckpt"):
        export_checkpoint(bundle, tmp_path / "out.tar", codec=str(autoencoder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "out.ckpt", "vae.safetensors"]


def test_a_network_that_reads_the_class_token_alone_is_not_exported(tmp_path, autoencoder):
    architecture = small_published_architecture(detail_guidance=True)
    assert architecture.context is not None
    context = architecture.context.model_copy(update={"tokens": "class"})
    codec = architecture.codec.model_copy(update={"path": str(autoencoder)})
    animator = Animator(architecture.model_copy(update={"context": context, "codec": codec}))
    bundle = open_bundle(_trained(tmp_path / "bundle", animator))
    with pytest.raises(AnimaticError, match="reads all image tokens"):
        export_checkpoint(bundle, tmp_path / "out.ckpt")


def test_loading_into_memory_is_strict(autoencoder):
    architecture = small_published_architecture(detail_guidance=True)
    codec = architecture.codec.model_copy(update={"path": str(autoencoder)})
    animator = Animator(architecture.model_copy(update={"codec": codec}))
    keys = ("model.diffusion_model.", "image_proj_model.", "first_stage_model.")
    state = {key: x for key, x in random_state(SMALL["scaled-0.7"]).items() if key.startswith(keys)}
    state = {key: value + 1 for key, value in state.items()}
    checkpoints.load(animator, state)
    assert same(public_state(animator.network), {k: x for k, x in state.items() if k.startswith(keys[:2])})
    assert isinstance(animator.codec, VaeCodec)
    bias = animator.codec.vae.quant_conv.bias
    assert torch.equal(bias, state["first_stage_model.quant_conv.bias"])
    del state["first_stage_model.quant_conv.bias"]
    state["betas"] = torch.zeros(1000)
    with pytest.raises(AnimaticError, match=r"missing first_stage_model\.quant_conv\.bias; unexpected betas"):
        checkpoints.load(animator, state)
