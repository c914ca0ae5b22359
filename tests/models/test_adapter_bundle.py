"""Bundles of adapters: the base that is found, the exact composition, the merged weights."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from core.errors import AnimaticError
from models.animate import animate
from models.bundle import merge_adapter, open_bundle
from models.public_keys import is_adapter_key
from tests.support.adapters import write_adapter, write_base


class Pair(NamedTuple):
    """Folders of an adapter's bundle and its base, as copied into one test's folder."""

    adapter: Path
    base: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    write_base(root / "base")
    write_adapter(root / "run", root / "base", "train.trainable=['unet.conv_out.*']")
    return root


@pytest.fixture
def pair(made) -> Pair:
    return Pair(made / "run" / "bundle", made / "base")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(open_bundle(folder).animator().network.named_parameters())


def test_the_bundle_contains_what_is_trained_and_names_its_base(pair):
    bundle, base = open_bundle(pair.adapter), open_bundle(pair.base)
    assert sorted(path.name for path in pair.adapter.iterdir()) == [
        "README.md",
        "adapter.safetensors",
        "bundle.json",
    ]
    adapter = bundle.info.adapter
    assert adapter is not None and (adapter.base, adapter.settings.rank) == (base.id, 2)
    assert bundle.info.parent == base.id
    stored = bundle.stored_state()
    whole = sorted(key for key in stored if not is_adapter_key(key))
    assert whole == ["model.diffusion_model.out.2.bias", "model.diffusion_model.out.2.weight"]
    assert bundle.weights.stat().st_size < base.weights.stat().st_size / 3
    assert "LoRA of rank 2" in bundle.card
    assert "adapter" not in json.loads((pair.base / "bundle.json").read_text())


def test_the_composed_animator_has_the_bases_weights_and_the_updates(pair):
    bundle, base = open_bundle(pair.adapter), open_bundle(pair.base).state()
    composed, stored = bundle.state(), bundle.stored_state()
    assert composed.keys() == base.keys() and bundle.shapes() == open_bundle(pair.base).shapes()
    for key, value in composed.items():
        a, b = (stored.get(f"{key.removesuffix('.weight')}.lora_{matrix}.weight") for matrix in "AB")
        wanted = stored.get(key, base[key])
        if a is not None and b is not None:
            wanted = wanted + 8.0 * (b.flatten(1) @ a.flatten(1)).view_as(wanted)
        assert torch.equal(value, wanted), key


def test_the_base_is_found_beside_or_given_and_no_other_is_accepted(pair, tmp_path):
    moved = tmp_path / "adapter"
    shutil.copytree(pair.adapter, moved)
    info = json.loads((moved / "bundle.json").read_text())
    info["adapter"]["path"] = str(tmp_path / "gone")
    (moved / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(AnimaticError, match=r"is an adapter of bundle \w{12}, which is neither at .*gone"):
        open_bundle(moved).animator()
    # Describing it needs no base.
    assert open_bundle(moved).info.stage == 3
    given = open_bundle(moved).with_base(pair.base)
    assert given.base.id == open_bundle(pair.base).id
    write_base(tmp_path / "other", 3, torch.float32, "seed=1", "model.unet.dropout=0.2")
    with pytest.raises(AnimaticError, match="was trained on"):
        open_bundle(moved).with_base(tmp_path / "other").animator()
    with pytest.raises(AnimaticError, match="without effect"):
        open_bundle(pair.base).with_base(pair.base)
    shutil.copytree(pair.base, tmp_path / "beside")
    assert open_bundle(moved).base.folder == tmp_path / "beside"


def test_a_damaged_base_is_refused(pair, tmp_path):
    shutil.copytree(pair.base, tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(AnimaticError, match="tampered with"):
        open_bundle(pair.adapter).with_base(tmp_path / "base").animator()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_weights_are_the_composed_ones_rounded_once(tmp_path, dtype):
    write_base(tmp_path / "base", 3, dtype)
    adapter = write_adapter(tmp_path / "run", tmp_path / "base")
    merged_id = merge_adapter(open_bundle(adapter), tmp_path / "merged")
    merged, composed = open_bundle(tmp_path / "merged"), open_bundle(adapter).state()
    assert merged.id == merged_id and merged.info.adapter is None
    state = merged.state()
    assert state.keys() == composed.keys() and {value.dtype for value in state.values()} == {dtype}
    assert all(torch.equal(value, composed[key].to(dtype)) for key, value in state.items())
    assert any(value.dtype == torch.float32 for value in composed.values())
    extra = merged.info.extra
    assert (merged.info.parent, extra["base"]) == (open_bundle(adapter).id, open_bundle(tmp_path / "base").id)
    with pytest.raises(AnimaticError, match="needs no merging"):
        merge_adapter(merged, tmp_path / "again")


def test_an_adapter_and_its_merged_bundle_draw_the_same_clip(pair, tmp_path):
    merge_adapter(open_bundle(pair.adapter), tmp_path / "merged")
    one, other = weights(pair.adapter), weights(tmp_path / "merged")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    clips = []
    for folder in (pair.adapter, tmp_path / "merged", pair.base):
        bundle = open_bundle(folder)
        settings = bundle.info.sampling_defaults.changed(
            steps=2, solver="unipc", guidance_every=2, cache_every=2
        )
        clips += animate(bundle.animator(), torch.zeros(1, 3, 64, 64), ["a ball"], settings)
    assert torch.equal(clips[0], clips[1]) and not torch.equal(clips[0], clips[2])


def test_an_adapter_of_an_adapter_is_composed_of_both(pair, tmp_path):
    second = write_adapter(tmp_path / "second", pair.adapter)
    below, state = open_bundle(pair.adapter).state(), open_bundle(second).state()
    changed = [key for key, value in state.items() if not torch.equal(value, below[key])]
    assert changed and not any(key.startswith("model.diffusion_model.out.2") for key in changed)
