"""Where every weight comes from at full size: planned from shapes alone, printed, and built."""

import json
import math
import resource
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from core.errors import AnimaticError
from models.checkpoints import VARIANTS
from models.network.parameter_names import public_shapes
from orchestration.cli import app
from tests.support.layouts import Shape, hollow_bundle, published
from training.config import RunConfig, resolve
from training.initialisation import TensorTransfer, open_source_bundles, plan_transfers
from training.trainable import trainable_names


@dataclass(frozen=True)
class FullSize:
    """A stage's plan at full size."""

    config: RunConfig
    transfers: dict[str, TensorTransfer]

    def keys(self, origin: str, how: str | None = None) -> dict[str, Shape]:
        """Public key -> shape of the tensors from ``origin`` (that change as ``how`` describes)."""
        return {
            transfer.key: transfer.shape
            for transfer in self.transfers.values()
            if transfer.origin == origin and how in (None, transfer.how)
        }


@pytest.fixture(scope="module", params=["256", "512"])
def chain(request, tmp_path_factory) -> dict[int, FullSize]:
    """Stages 1 to 3 of a full-size preset, from the published layouts, each from the one before."""
    folder = tmp_path_factory.mktemp(request.param)
    bases = {1: VARIANTS["stable-diffusion-2.1"], 2: VARIANTS["videocrafter2"]}
    # Imported files bring their autoencoder and schedule along, in the precision they have.
    extra = {"betas": (1000,), "first_stage_model.quant_conv.bias": (8,)}
    for stage, layout in ((1, "stable_diffusion_2_1_unet"), (2, "videocrafter2_t2v_unet")):
        target = folder / bases[stage].name
        hollow_bundle(target, published(layout) | extra, bases[stage].architecture, dtype="F16")
    stages: dict[int, FullSize] = {}
    for stage in (1, 2, 3):
        sets = [f"init.parent={folder / f'stage{stage - 1}'}"]
        if stage in bases:
            sets.append(f"init.base={folder / bases[stage].name}")
        config = resolve(stage, request.param, sets)
        transfers = plan_transfers(config, open_source_bundles(config, verify=False))
        stages[stage] = FullSize(config, transfers)
        hollow_bundle(
            folder / f"stage{stage}",
            {transfer.key: transfer.shape for transfer in transfers.values()},
            config.model,
            stage,
        )
    return stages


def is_gate(key: str) -> bool:
    return key.endswith(".attn2.alpha")


def test_stage_1_is_stable_diffusion_with_new_image_attention_p_and_frame_rate(chain):
    stage = chain[1]
    assert stage.keys("base", "as it is") == published("stable_diffusion_2_1_unet")
    assert stage.keys("parent") == {}
    new = stage.keys("new")
    groups = {
        "frame rate": {key for key in new if ".fps_embedding." in key},
        "image attention": {key for key in new if key.endswith(("to_k_ip.weight", "to_v_ip.weight"))},
        "gates": {key for key in new if is_gate(key)},
        "P": {key for key in new if key.startswith("image_proj_model.")},
    }
    gated = stage.config.model.unet.learnable_gate
    assert {name: len(keys) for name, keys in groups.items()} == {
        "frame rate": 4,
        "image attention": 32,
        "gates": 16 if gated else 0,
        "P": 51,
    }
    assert sum(map(len, groups.values())) == len(new)
    zeros = stage.keys("new", "zeros")
    assert groups["gates"] <= set(zeros)
    assert {f"model.diffusion_model.fps_embedding.2.{leaf}" for leaf in ("weight", "bias")} <= set(zeros)
    assert stage.config.model.unet.default_fps == (3 if gated else 24)


def test_stage_2_is_videocrafter2_with_stage_1s_image_attention_and_p(chain):
    stage = chain[2]
    assert stage.keys("base") == stage.keys("base", "as it is") == published("videocrafter2_t2v_unet")
    assert stage.keys("new") == {}
    learned = {
        key: shape
        for key, shape in chain[1].keys("new").items()
        if ".fps_embedding." not in key and key != "image_proj_model.latents"
    }
    # Keys are numbered by position: stage 1 has no temporal layers, but attention is at the same places.
    assert stage.keys("parent", "as it is") == learned
    repeated = stage.keys("parent", "16 queries of an image repeated for 16 frames")
    assert repeated == {"image_proj_model.latents": (1, 256, 1024)}


def test_stage_3_is_stage_2_with_a_wider_first_convolution(chain):
    stage = chain[3]
    assert stage.keys("base") == stage.keys("new") == {}
    widened = stage.keys("parent", "4 input channels widened to 8 with zeros")
    assert widened == {"model.diffusion_model.input_blocks.0.0.weight": (320, 8, 3, 3)}
    before = {transfer.key: transfer.shape for transfer in chain[2].transfers.values()}
    assert stage.keys("parent", "as it is") == {key: before[key] for key in before if key not in widened}


def test_the_last_stage_has_exactly_the_published_tensors(chain):
    gated = chain[3].config.model.unet.learnable_gate
    layout = published("dynamicrafter_256" if gated else "dynamicrafter_512_and_1024")
    assert chain[3].keys("parent") == layout
    count = sum(math.prod(shape) for shape in layout.values())
    assert count == (1_487_642_452 if gated else 1_487_642_436)


def test_every_tensor_has_one_origin_and_the_papers_trained_set(chain):
    for stage in chain.values():
        keys = [transfer.key for transfer in stage.transfers.values()]
        assert len(set(keys)) == len(keys)
    trained = set(trainable_names(chain[3].config, list(chain[3].transfers)))
    frozen = [transfer for name, transfer in chain[3].transfers.items() if name not in trained]
    assert {transfer.kind for transfer in frozen} == {"temporal"}
    assert sum(math.prod(transfer.shape) for transfer in frozen) == 266_891_520 + 278_431_616


def test_the_command_prints_the_plan_without_reading_a_weight(chain):
    stage = chain[2]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sets = [f"init.{name}={getattr(stage.config.init, name)}" for name in ("base", "parent")]
    command = ["train", "--stage", "2", "--preset", stage.config.preset, "--print-initialisation"]
    command += [part for item in sets for part in ("--set", item)]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert {(row["name"], row["origin"], row["how"]) for row in printed["tensor_origins"]} == {
        (name, transfer.origin, transfer.how) for name, transfer in stage.transfers.items()
    }
    assert printed["tensors"] == len(stage.transfers) == sum(row["tensors"] for row in printed["groups"])
    listing = CliRunner().invoke(app, [*command, "--verbose"]).stdout
    assert "16 queries of an image repeated for 16 frames" in " ".join(listing.split())
    assert "image_proj_model.latents  1x256x1024  parent" in listing
    changes = {
        "parameterization": ("eps", "v"),
        "zero_terminal_snr": (False, True),
        "base_scale": (None, 0.7),
    }
    expected = changes if stage.config.preset == "512" else {}
    assert printed["diffusion_changes"] == [
        {"source": source, "name": name, "bundle": theirs, "run": ours}
        for source in ("base", "parent")
        for name, (theirs, ours) in expected.items()
    ]
    stated = "model.diffusion.base_scale: null in the parent, 0.7 in this run"
    assert (stated in listing) == bool(expected)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1_000_000, f"{grown} KiB for a listing; the weights are 8,600,000"


def test_a_preset_that_its_bundles_were_not_made_with_is_refused(chain):
    gated = chain[2].config.model.unet.learnable_gate
    sets = [f"init.{name}={getattr(chain[2].config.init, name)}" for name in ("base", "parent")]
    other = resolve(2, "512" if gated else "256", sets)
    with pytest.raises(AnimaticError, match=r"alpha.*choose the preset"):
        plan_transfers(other, open_source_bundles(other, verify=False))


def test_an_image_network_is_no_base_for_stage_2(chain):
    sets = [f"init.base={chain[1].config.init.base}", f"init.parent={chain[2].config.init.parent}"]
    config = resolve(2, chain[2].config.preset, sets)
    with pytest.raises(AnimaticError, match=r"in no bundle, first unet.temporal_in"):
        plan_transfers(config, open_source_bundles(config, verify=False))


@pytest.mark.slow
def test_building_at_full_size_takes_little_more_than_the_network(tmp_path):
    """The bundle is in half precision, and mapped: the network in float32 is all that needs memory."""
    sets = ["model.codec={kind: dct, luma: 2, chroma: 1}", "model.encoders.kind=random"]
    sets += ["model.encoders.text={width: 1024, layers: 1, heads: 16}"]
    sets += ["model.encoders.image={width: 1280, layers: 1, heads: 16}"]
    folder = tmp_path / "parent"
    network = resolve(2, "512", sets).model
    layout = public_shapes(network)
    hollow_bundle(folder, layout, network, stage=2, dtype="F16", digest=True)
    code = (
        "import resource, sys\n"
        "from training.config import resolve\n"
        "from training.initialisation import initialise\n"
        "animator, start = initialise(resolve(3, '512', sys.argv[1:]))\n"
        "lines = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)\n"
        "print(lines['RssAnon'].split()[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", code, *sets, f"init.parent={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    owned, peak = (int(value) * 1024 for value in done.stdout.split())
    float32 = 4 * sum(math.prod(shape) for shape in layout.values())
    assert owned < 1.25 * float32
    assert peak < 2 * float32
