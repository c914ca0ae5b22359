"""DeepSpeed's configuration, from the run's."""

from typing import Any

import torch

from training.batch_shares import BatchShares
from training.config import RunConfig

# Precisions that keep half weights and fp32 masters; DeepSpeed's names are the configuration's.
HALF_WEIGHTS = {"bf16": torch.bfloat16, "fp16": torch.float16}


_FP32_GRADIENTS = {"data_types": {"grad_accum_dtype": "fp32"}, "communication_data_type": "fp32"}


# DeepSpeed's default, in numbers of weights.
_REDUCE_BUCKET = 500_000_000


def deepspeed_config(config: RunConfig, shares: BatchShares, trained: int) -> dict[str, Any]:
    """The dictionary that ``deepspeed.initialize`` takes; ``trained``: number of trained weights.

    It is written here from typed settings only: DeepSpeed accepts unknown top-level keys silently.
    """
    train = config.train
    # Memory-efficient linear replaces torch's function for the whole process.
    zero: dict[str, Any] = {"stage": train.zero_stage, "memory_efficient_linear": False}
    if train.adapter is not None:
        # The bucket is allocated whole: by default it is a hundred times as large as an adapter.
        zero["reduce_bucket_size"] = min(_REDUCE_BUCKET, trained)
    if train.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu"}
    if train.offload_parameters:
        zero["offload_param"] = {"device": "cpu"}
    values: dict[str, Any] = {
        "train_batch_size": train.global_batch,
        "train_micro_batch_size_per_gpu": shares.micro_batch,
        "gradient_accumulation_steps": shares.passes,
        "zero_optimization": zero,
        # An offloaded optimizer is torch's: see build_optimizer.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }
    if train.zero_stage:  # at stage 0 the optimizer clips
        values["gradient_clipping"] = config.optimizer.grad_clip
    if train.precision in HALF_WEIGHTS:
        values[train.precision] = {"enabled": True}
    elif train.precision == "autocast-bf16":
        values["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
    if train.gradient_precision == "fp32":
        values |= _FP32_GRADIENTS
        if "torch_autocast" in values:
            # The layers whose gradients (and, at stage 3, weights) would be communicated in autocast's type.
            values["torch_autocast"]["lower_precision_safe_modules"] = []
    return values
