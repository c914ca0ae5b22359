"""A checkpoint is recognised by its content: whatever its name, its keys' prefix, or its averaged weights."""

import gzip
import io
import pickle
import tarfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import AnimaticError
from models.bundle import open_bundle
from models.checkpoints import export_checkpoint, import_checkpoint
from tests.support.published import SMALL, random_state, read, same, write

UNET = "model.diffusion_model."


def imported(path, folder, name=None, **options):
    return import_checkpoint(path, folder, name, variants=SMALL, **options)


def refused(path, **options) -> str:
    with pytest.raises(AnimaticError) as caught:
        imported(path, path.parent / "refused", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tar_of(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("model.ckpt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("name", ["x.ckpt", "x.bin", "x", "x.tar.gz"])
def test_safetensors_are_read_whatever_their_name(tmp_path, name):
    state = random_state(SMALL["video"])
    save_file(state, tmp_path / name)
    imported(tmp_path / name, tmp_path / "bundle")
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), state)


def test_a_pickle_is_read_whatever_its_name(tmp_path):
    state = random_state(SMALL["video"])
    write(tmp_path / "x.ckpt", state).rename(tmp_path / "x.safetensors")
    assert imported(tmp_path / "x.safetensors", tmp_path / "bundle").container == "state_dict"


@pytest.mark.parametrize(
    "container", ["module", "model", "model_state_dict", "model.state_dict", "state_dict.module"]
)
def test_tensors_are_found_in_the_containers_of_training_scripts(tmp_path, container):
    state = random_state(SMALL["video"])
    content = state
    for name in reversed(container.split(".")):
        content = {name: content, "optimizer": {"state": {}}, "epoch": 3}
    torch.save(content, tmp_path / "x.pt")
    assert imported(tmp_path / "x.pt", tmp_path / "bundle").container == container
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no checkpoint but empty: download it again"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><title>Sign in</title>", "but a web page: download it again"),
        (b"<HTML><body>404", "but a web page"),
        (bytes(4096), "but zero bytes, as an interrupted download leaves"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "as stores answer with errors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run `git lfs pull`"),
        (gzip.compress(b"x" * 999), "but compressed with gzip: unpack it"),
        (tar_of(b"x" * 999), "but a tar archive: unpack it"),
        (b'{"weight_map": {}}', "merge the shards into one file"),
        (b"GGUF\3\0\0\0", "quantised"),
        ("nur ein Text, über 512 Zeichen ".encode() * 40, "but a text file"),
        (b"\x00\xff\xfe" * 300, "of an unknown format"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff{", "of an unknown format"),
        ((10**6).to_bytes(8, "little") + b'{"a":', "is cut short: its header ends at byte 1,000,008"),
        (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
        (b"PK\x03\x04" + b"\0" * 100, "no checkpoint, or a damaged one"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, message):
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    assert message in refused(path)


def test_a_folder_is_named_as_one(tmp_path):
    (tmp_path / "model.ckpt").mkdir()
    assert "is a folder: name the checkpoint file in it" in refused(tmp_path / "model.ckpt")


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "unet.", "net.model.diffusion_model."])
def test_the_networks_keys_may_have_another_prefix(tmp_path, prefix):
    state = random_state(SMALL["gated"])
    stored = {
        (prefix + key.removeprefix(UNET) if key.startswith(UNET) else key): x for key, x in state.items()
    }
    result = imported(write(tmp_path / "x.ckpt", stored), tmp_path / "bundle", "gated")
    expected = f"begin with {prefix}" if prefix else "have no prefix"
    assert [expected in remark for remark in result.remarks] == [True]
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), state)
    export_checkpoint(open_bundle(tmp_path / "bundle"), tmp_path / "out.ckpt")
    assert same(read(tmp_path / "out.ckpt"), state), "exported under the published names"


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "_forward_module."])
def test_wrappers_around_every_key_are_left_out(tmp_path, wrapper):
    state = random_state(SMALL["video"])
    path = write(tmp_path / "x.safetensors", {wrapper + key: x for key, x in state.items()})
    imported(path, tmp_path / "bundle")
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), state)


def averaged(state):
    """The average that latent-diffusion stores of ``state``: names without dots, other values."""
    names = {key: "model_ema." + key.removeprefix("model.").replace(".", "") for key in state if UNET in key}
    extra = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7.0)}
    return {name: state[key] + 1 for key, name in names.items()} | extra


def test_averaged_weights_are_imported_by_choice(tmp_path):
    state = random_state(SMALL["gated"])
    path = write(tmp_path / "x.ckpt", state | averaged(state))
    plain = imported(path, tmp_path / "plain")
    assert plain.left_out["model_ema.*"] > 50 and not plain.remarks
    assert same(load_file(tmp_path / "plain" / "model.safetensors"), state)
    chosen = imported(path, tmp_path / "chosen", averaged=True)
    assert "asked for" in chosen.remarks[0]
    expected = {key: x + 1 if key.startswith(UNET) else x for key, x in state.items()}
    assert same(load_file(tmp_path / "chosen" / "model.safetensors"), expected)


def test_averaged_weights_are_imported_where_a_file_has_no_others(tmp_path):
    state = random_state(SMALL["video"])
    others = {key: x for key, x in state.items() if not key.startswith(UNET)}
    result = imported(write(tmp_path / "x.ckpt", others | averaged(state)), tmp_path / "bundle")
    assert (result.variant, "the file has no others" in result.remarks[0]) == ("video", True)
    expected = {key: x + 1 if key.startswith(UNET) else x for key, x in state.items()}
    assert same(load_file(tmp_path / "bundle" / "model.safetensors"), expected)


def test_averaged_weights_that_are_absent_are_refused(tmp_path):
    path = write(tmp_path / "x.ckpt", random_state(SMALL["video"]))
    assert "has no averaged weights" in refused(path, averaged=True)
