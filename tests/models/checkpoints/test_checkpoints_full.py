"""A full-size checkpoint through the command: nothing changes, and the memory stays within bounds."""

import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors import safe_open
from transformers import CLIPVisionModelWithProjection

from models.checkpoints import VARIANTS, published_layout
from tests.support.layouts import hollow_bundle
from tests.support.published import legacy

ANIMATIC = (sys.executable, "-c", "from orchestration.cli import main; main()")
BLOCK = 1 << 26


def random_file(path: Path, variant: str) -> Path:
    """Every tensor of a published file in float16, random bits, written block by block."""
    header, end = {}, 0
    for key, shape in legacy(VARIANTS[variant].required()).items():
        size = 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, end, BLOCK):
            file.write(random.bytes(min(BLOCK, end - start)))
    return path


def pickled(source: Path, path: Path) -> Path:
    """The same tensors as DeepSpeed saves them."""
    with safe_open(source, framework="pt") as file:
        state = {"_forward_module." + key: file.get_tensor(key) for key in file.offset_keys()}
        torch.save({"module": state}, path)
    return path


def peak_memory(*arguments: object) -> int:
    """Run the command; the largest sum of resident memory of its processes, bytes."""
    process = psutil.Popen([*ANIMATIC, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        resident = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                resident += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, resident)
        time.sleep(0.05)
    assert process.returncode == 0, process.stderr.read()
    return peak


def same_bytes(found: dict[str, torch.Tensor], source: Path) -> None:
    with safe_open(source, framework="pt") as file:
        assert set(found) == set(file.offset_keys())
        for key in file.offset_keys():
            wanted = file.get_tensor(key)
            assert (found[key].shape, found[key].dtype) == (wanted.shape, wanted.dtype), key
            assert torch.equal(
                found[key].reshape(-1).view(torch.uint8), wanted.reshape(-1).view(torch.uint8)
            ), key


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_full_size_import_and_export_are_lossless_and_bounded_in_memory(tmp_path, suffix):
    source = random_file(tmp_path / "drawn.safetensors", "dynamicrafter-256")
    checkpoint = source if suffix == ".safetensors" else pickled(source, tmp_path / "x.ckpt")
    limit = 1.5 * checkpoint.stat().st_size
    folder, out = tmp_path / "bundle", tmp_path / f"out{suffix}"
    try:
        importing = peak_memory("import-checkpoint", checkpoint, "--out", folder)
        exporting = peak_memory("export-checkpoint", folder, "--as", "dynamicrafter", "--out", out)
        print(
            f"peak memory / file: import {importing / limit * 1.5:.2f}, export {exporting / limit * 1.5:.2f}"
        )
        assert importing < limit
        assert exporting < limit
        if suffix == ".ckpt":
            same_bytes(torch.load(out, weights_only=True, mmap=True)["state_dict"], source)
        else:
            with safe_open(out, framework="pt") as file:
                same_bytes({key: file.get_tensor(key) for key in file.offset_keys()}, source)
    finally:
        shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_full_size_parts_for_diffusers_are_bounded_in_memory(tmp_path):
    architecture = VARIANTS["dynamicrafter-256"].architecture
    layout = {key: shape for part in published_layout(architecture).values() for key, shape in part.items()}
    folder = hollow_bundle(tmp_path / "bundle", layout, architecture, stage=3, dtype="F16", digest=True)
    out = tmp_path / "parts"
    try:
        peak = peak_memory("export-checkpoint", folder, "--as", "diffusers", "--out", out)
        size = (folder / "model.safetensors").stat().st_size
        print(f"peak memory / bundle: {peak / size:.2f}")
        assert peak < 1.5 * size
        # Those of Stable Diffusion 2.1's text encoder.
        config = json.loads((out / "text_encoder" / "config.json").read_text())
        shape = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "hidden_act")
        assert [config[name] for name in shape] == [1024, 4096, 16, 23, "gelu"]
        _, loading = CLIPVisionModelWithProjection.from_pretrained(
            out / "image_encoder", output_loading_info=True
        )
        assert not any(loading.values())
    finally:
        shutil.rmtree(tmp_path)
