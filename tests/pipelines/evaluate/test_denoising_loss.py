"""The denoising loss as a metric: of bundles and real clips, comparable where networks predict the same."""

import numpy as np
import pytest
from safetensors.torch import save_file

from core.errors import AnimaticError
from models.bundle import open_bundle
from models.checkpoints import import_checkpoint
from models.denoising import QUANTILES, held_out_losses
from pipelines.evaluate import EvaluateConfig, bundle_system
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.metrics import REGISTRY, choose
from pipelines.evaluate.metrics.denoising_loss import _batch
from pipelines.evaluate.report import versions
from tests.support.published import SMALL, random_state
from tests.support.small_animator import small_animator, small_architecture

METRIC = REGISTRY["denoising_loss"]


@pytest.fixture
def pairs() -> list[ClipPair]:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (3, 2, 3, 8, 8, 3), dtype=np.uint8)
    return [
        ClipPair(RealClip(key, f"a ball {key}", 8.0, real, key), generated)
        for key, (real, generated) in zip("abc", pixels, strict=True)
    ]


def test_rows_have_the_loss_of_the_real_clip_and_that_of_each_timestep(pairs) -> None:
    animator = small_animator(small_architecture())
    rows = METRIC.measure(pairs, [4.0, 6.0, 4.0], animator, 5)
    expected = held_out_losses(animator, _batch(pairs, [4.0, 6.0, 4.0]), seed=5)
    names = [f"denoising_loss_q{quantile}" for quantile in range(1, QUANTILES + 1)]
    assert [[row[name] for name in names] for row in rows] == expected.tolist()
    assert [row["denoising_loss"] for row in rows] == expected.mean(dim=1).tolist()
    # Chunks, generated clips and frame rates: only the last of them counts.
    frozen = [ClipPair(pair.clip, pair.generated[:1].repeat(3, axis=0)) for pair in pairs]
    assert METRIC.measure(frozen[2:], [4.0], animator, 5) == rows[2:]
    assert METRIC.measure(pairs[2:], [6.0], animator, 5) != rows[2:]


def test_the_version_names_what_the_network_predicts() -> None:
    v = small_architecture()
    others = [
        v.model_copy(update={"diffusion": v.diffusion.model_copy(update=update)})
        for update in ({"zero_terminal_snr": False, "parameterization": "eps"}, {"base_scale": 0.7})
    ]
    others.append(v.model_copy(update={"codec": v.codec.model_copy(update={"luma": 3})}))
    wider = v.model_copy(update={"unet": v.unet.model_copy(update={"model_channels": 32}), "frames": 5})
    found = [
        versions([METRIC], {}, {"predicts": each.denoising_target})["denoising_loss"]
        for each in (v, *others, wider)
    ]
    assert len(set(found)) == 4 and found[0] == found[-1]
    assert found[0].startswith("denoising_loss/1+v:") and found[1].startswith("denoising_loss/1+eps:")


def test_the_version_names_the_weights_of_the_autoencoder(tmp_path) -> None:
    """Whether they are in the bundle or in a file; those of the decoder make no latents."""
    state, weights = random_state(SMALL["gated"]), tmp_path / "weights.safetensors"
    save_file(state, weights)
    import_checkpoint(weights, tmp_path / "bundle", "gated", variants=SMALL)
    bundle, config = open_bundle(tmp_path / "bundle"), EvaluateConfig(data="clips", output=tmp_path)
    first = bundle_system(bundle, config).record["predicts"]
    assert first.startswith(f"{SMALL['gated'].architecture.denoising_target}:")
    changed = config.model_copy(update={"codec": str(weights)})
    for part, makes_latents in (("decoder.conv_out", False), ("encoder.conv_in", True)):
        key = f"first_stage_model.{part}.bias"
        save_file({**state, key: state[key] + 1}, weights)
        assert (bundle_system(bundle, changed).record["predicts"] != first) == makes_latents


def test_clips_of_another_system_have_no_network_to_measure() -> None:
    assert METRIC not in choose(None, (), network=False)
    with pytest.raises(AnimaticError, match="denoising_loss measures the network of a bundle"):
        choose(["denoising_loss"], (), network=False)
