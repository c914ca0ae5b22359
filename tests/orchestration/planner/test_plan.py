"""`animatic plan`: exact parameters, memory as it was measured, and settings that `train` takes."""

import json
import re
import shlex
from itertools import product

import pytest
import torch

from models.animator import animator_on_meta
from models.network.network import Network
from orchestration.planner.estimate import configured_memory
from orchestration.planner.memory import GIB, LIVE_PARAMETERS, REDUCE_BUCKET, SUB_GROUP, Layout, step_memory
from orchestration.planner.passes import Pass, rehearse
from orchestration.planner.rates import DECODING, ENCODING, PASSES, former_run, interpolated
from orchestration.planner.sizes import sizes_of
from orchestration.planner.states import bundle_bytes
from orchestration.workflows.plan import Plan, PlanOptions, plan_run
from tests.support.command import fails, run
from tests.support.paths import ROOT
from tests.support.small_stages import small_sets
from training.adapter import run_adapter
from training.backends.deepspeed_config import deepspeed_config
from training.batch_shares import BatchShares
from training.config import RunConfig, dump_yaml, presets, resolve
from training.config.sections import AblationConfig
from training.trainable import trainable_names

ONE_GPU = ("train.global_batch=1", "train.micro_batch=1", "launch.workers=1")
# Ablations that a stage can have: without its query transformer, stage 1 would train nothing.
ABLATIONS = [None, *AblationConfig.model_fields]


def configurations(names: list[str]) -> list[RunConfig]:
    found = []
    for preset, stage, ablation in product(names, range(5), ABLATIONS):
        if (stage, ablation) != (1, "no_context"):
            found.append(resolve(stage, preset, [] if ablation is None else [f"ablation.{ablation}=true"]))
    return found


def check_sizes(config: RunConfig) -> None:
    with torch.device("meta"):
        network = Network(config.model)
        adapter = run_adapter(config)
        if adapter is not None:
            network.add_adapter(adapter)
    numels = {name: parameter.numel() for name, parameter in network.named_parameters()}
    trained = sum(numels[name] for name in trainable_names(config, list(numels)))
    sizes = sizes_of(config, animator_on_meta(config.model, adapter))
    assert (sizes.trained_total, sizes.network_total) == (trained, sum(numels.values()))


def test_parameters_are_those_of_the_built_network():
    for config in configurations(["tiny"])[::9]:
        check_sizes(config)


@pytest.mark.slow
def test_parameters_of_every_preset_stage_and_ablation_are_those_of_the_built_network():
    for config in configurations(presets()):
        check_sizes(config)


def test_a_step_with_an_adapter_needs_less_of_everything_but_activations():
    """Counted on preset tiny, whose activations are much smaller than its weights are."""
    stored = ["data.latents=latents", "train.precision=bf16", "train.zero_stage=1", *ONE_GPU]
    config, whole = (
        resolve(3, "tiny", [*stored, *sets]) for sets in (["train.adapter.rank=4"], ["train.adapter=null"])
    )
    needed, before = configured_memory(config), configured_memory(whole)
    assert needed.total < before.total
    for part in ("masters", "moments", "gradients"):
        assert getattr(needed, part) < getattr(before, part) / 4, part
    assert needed.masters == 4 * sizes_of(config).trained_total
    assert bundle_bytes(config) < bundle_bytes(whole) / 4


def test_inputs_of_recomputed_blocks_leave_the_device_for_host_memory():
    sets = [*small_sets(3), "train.activation_checkpointing=full", "data.latents=latents", *ONE_GPU]
    config, moved = (
        resolve(3, "tiny", [*sets, f"train.offload_activations={chosen}"]) for chosen in (False, True)
    )
    before, after = (rehearse(each, "full", 2, encoded=True, half=False) for each in (config, moved))
    assert before.host == 0 < after.host and after.flops == before.flops
    # In blocks of locked memory, which are powers of two.
    assert 0 < before.kept - after.kept <= after.host
    assert after.peak <= before.peak and after.of(6).host == 3 * after.host
    memory = step_memory(sizes_of(moved), Layout.of(moved, 1, 1), after)
    assert memory.host == after.host


def test_codec_and_text_tower_take_memory_of_a_gpu_only_where_a_step_needs_them():
    """As the backend places them: with stored latents, the image tower alone is on the device."""
    pixels = resolve(3, "tiny")
    stored = resolve(3, "tiny", ["data.latents=latents"])
    animator = animator_on_meta(pixels.model)
    image_tower = sum(each.numel() for each in animator.encoders.clip.visual.parameters())
    whole = sum(each.numel() for part in (animator.encoders, animator.codec) for each in part.parameters())
    assert sizes_of(stored, animator).frozen_models_bytes == 4 * image_tower
    assert sizes_of(pixels, animator).frozen_models_bytes == 4 * whole
    assert image_tower < whole


SMALL = (*small_sets(3), "train.precision=bf16", "train.global_batch=8")


@pytest.fixture(scope="module")
def found() -> Plan:
    """Two GPUs that train on 4 clips a second each."""
    return plan_run(PlanOptions(stage=3, preset="tiny", gpus=2, sets=SMALL, rate=4.0, price=2.0))


def test_time_and_cost_follow_from_the_rate(found):
    # 8 clips a step on 2 GPUs at 4 clips/s each, for all steps of the preset.
    steps = resolve(3, "tiny").train.steps
    assert found.configured.choice.speed.step_s == 1
    assert found.configured.days == pytest.approx(steps / 86_400)
    assert found.configured.cost == pytest.approx(steps / 3_600 * 2 * 2)
    assert found.fits and found.recommended.choice.memory.host == 0


def test_train_takes_the_recommended_command(found, monkeypatch):
    monkeypatch.setattr("orchestration.workflows.plan.plan_run", lambda options: found)
    printed = run("plan", "--stage", 3, "--preset", "tiny", "--gpus", 2)
    (line,) = [line for line in printed.stdout.splitlines() if line.startswith("animatic train")]
    words = shlex.split(line)[1:]
    sets = [part for each in SMALL for part in ("--set", each)]
    config = json.loads(run(*words, *sets, "--print-config", "--json").stdout)["config"]
    chosen, train = found.recommended.choice, config["train"]
    assert (config["launch"]["workers"], config["launch"]["gpus_per_worker"]) == (2, 1)
    assert (train["zero_stage"], train["micro_batch"]) == (chosen.zero_stage, chosen.micro_batch)
    assert train["activation_checkpointing"] == chosen.activation_checkpointing
    as_json = json.loads(run("plan", "--stage", 3, "--preset", "tiny", "--json").stdout)
    assert as_json["assignments"] == found.assignments


def test_what_does_not_fit_is_offloaded_or_refused(found):
    """Less memory than one step needs, by its own figures."""
    memory = found.recommended.choice.memory
    assert memory.fits(memory.total / 0.95 + 1) and not memory.fits(memory.total / 0.95 - 1)


def test_bad_requests_name_cause_and_fix(tmp_path):
    fails("--gpus 7 cannot share train.global_batch 64", "plan", "--stage", 3, "--preset", "512", "--gpus", 7)
    fails("is not the folder of a run", "plan", "--stage", 3, "--preset", "tiny", "--like", tmp_path)
    fails("--rate 0.0 is not a number above 0", "plan", "--stage", 3, "--preset", "tiny", "--rate", 0)
    both = ("--rate", 1, "--like", tmp_path)
    fails("two sources of one figure", "plan", "--stage", 3, "--preset", "tiny", *both)


@pytest.mark.parametrize("per_device", [False, True])
def test_a_former_run_gives_the_rate_of_one_process(tmp_path, per_device):
    """Without its first figure, which includes what happens once."""
    config = resolve(3, "tiny", ["launch.workers=2"])
    (tmp_path / "config.yaml").write_text(dump_yaml(config))

    def own(rate):
        return {"throughput/clips_per_s_per_device": rate / 4} if per_device else {}

    lines = [
        {"event": "metrics", "step": step, "metrics": {"throughput/clips_per_s": rate} | own(rate)}
        for step, rate in enumerate((1.0, 8.0, 10.0, 12.0), 1)
    ]
    (tmp_path / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert former_run(tmp_path) == (config, 2.5 if per_device else 5.0)


def test_times_are_the_documented_figures():
    """The figures of docs/performance.md that plans are computed from."""
    text = (ROOT / "docs" / "performance.md").read_text()
    for scope, measured in PASSES.items():
        (row,) = re.findall(rf"^\| pass, recompute {scope} \|(.*)$", text, re.M)
        milliseconds = [float(value) / 1000 for value in re.findall(r"(\d+) ms", row)]
        assert [each.seconds for each in measured] == milliseconds
        assert [interpolated(measured, each.flops) for each in measured] == milliseconds
    steps = re.findall(r"(?:256|512): (0\.\d+) s and (0\.\d+) s", text)
    assert [each.seconds for each in ENCODING] == [
        pytest.approx(float(pixels) - float(stored)) for stored, pixels in steps
    ]
    assert [rate for _, rate in DECODING] == [
        float(rate) for rate in re.findall(r"^\| 16 frames of .*?ms \| (\d+) \|", text, re.M)
    ]


@pytest.mark.slow
def test_buckets_are_as_large_as_deepspeed_makes_them():
    """They are left at its defaults."""
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    chosen = deepspeed_config(resolve(3, "512"), BatchShares(1, 1), 1000)["zero_optimization"]
    zero = DeepSpeedZeroConfig(**chosen)
    assert zero.reduce_bucket_size == REDUCE_BUCKET
    assert zero.max_live_parameters + zero.prefetch_bucket_size == LIVE_PARAMETERS
    assert zero.sub_group_size == SUB_GROUP


@pytest.mark.slow
def test_the_memory_of_a_step_is_that_measured_on_an_h100():
    """Whole steps of stage 3, preset 256, on one GPU: docs/performance.md, "On a GPU"."""
    config = resolve(3, "256", ONE_GPU)
    memory = step_memory(sizes_of(config), Layout.of(config, 1, 1), passed("256", "selective"))
    assert memory.allocated / GIB == pytest.approx(
        documented(r"from pixels\. 256: .*?, ([\d.]+) GiB"), rel=0.05
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "scope"),
    [("256", "none"), ("256", "selective"), ("512", "none"), ("512", "selective"), ("1024", "selective")],
)
def test_the_memory_of_a_pass_is_that_measured_on_an_h100(preset, scope):
    weights = 2 * sizes_of(resolve(3, preset)).network_total
    column = presets().index(preset) - 1
    (row,) = re.findall(rf"^\| pass, recompute {scope} \|(.*)$", performance(), re.M)
    measured = float(re.findall(r"([\d.]+) GiB", row)[column])
    assert (weights + passed(preset, scope).peak) / GIB == pytest.approx(measured, rel=0.1)


def passed(preset: str, scope: str) -> Pass:
    return rehearse(resolve(3, preset), scope, 1, encoded=True, half=True)


def performance() -> str:
    return (ROOT / "docs" / "performance.md").read_text()


def documented(pattern: str) -> float:
    (value,) = re.findall(pattern, performance())
    return float(value)
