"""What DeepSpeed is given of a run's settings."""

import pytest

from tests.support.training_jobs import small_config
from training.backends.deepspeed_config import deepspeed_config
from training.batch_shares import BatchShares


def given(*sets):
    return deepspeed_config(small_config(0, "train.image_batches=0", *sets), BatchShares(2, 3), 1000)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_zero_has_the_configured_stage_and_clips(stage):
    values = given(f"train.zero_stage={stage}", "optimizer.grad_clip=0.75")
    assert values["zero_optimization"]["stage"] == stage
    # Without ZeRO the optimizer clips.
    assert values.get("gradient_clipping") == (0.75 if stage else None)


@pytest.mark.parametrize(
    ("precision", "section"),
    [
        ("fp32", {}),
        ("bf16", {"bf16": {"enabled": True}}),
        ("fp16", {"fp16": {"enabled": True}}),
        ("autocast-bf16", {"torch_autocast": {"enabled": True, "dtype": "bfloat16"}}),
    ],
)
def test_the_precision_is_the_configured_one(precision, section):
    values = given(f"train.precision={precision}", "train.gradient_precision=weights", "train.zero_stage=1")
    assert {name: values[name] for name in ("bf16", "fp16", "torch_autocast") if name in values} == section


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "fp32"), ("weights", None)])
def test_gradients_are_summed_in_the_configured_precision(precision, kind):
    values = given(f"train.gradient_precision={precision}", "train.precision=bf16", "train.zero_stage=1")
    assert values.get("communication_data_type") == kind
    assert values.get("data_types", {}).get("grad_accum_dtype") == kind


def test_the_batch_is_of_all_processes_and_passes():
    values = given("train.global_batch=12", "train.micro_batch=2")
    assert values["train_batch_size"] == 12
    assert values["train_micro_batch_size_per_gpu"] == 2
    assert values["gradient_accumulation_steps"] == 3


@pytest.mark.parametrize("optimizer", [False, True])
@pytest.mark.parametrize("parameters", [False, True])
def test_what_is_offloaded_goes_to_host_memory(optimizer, parameters):
    sets = (f"train.offload_optimizer={optimizer}", f"train.offload_parameters={parameters}")
    zero = given("train.zero_stage=3", *sets)["zero_optimization"]
    places = {name: zero.get(name, {}).get("device") for name in ("offload_optimizer", "offload_param")}
    assert places == {
        "offload_optimizer": "cpu" if optimizer else None,
        "offload_param": "cpu" if parameters else None,
    }


def test_the_bucket_of_an_adapter_is_no_larger_than_the_adapter():
    assert "reduce_bucket_size" not in given("train.zero_stage=2")["zero_optimization"]
    adapter = given("train.zero_stage=2", "train.adapter.rank=2")["zero_optimization"]
    assert adapter["reduce_bucket_size"] == 1000
