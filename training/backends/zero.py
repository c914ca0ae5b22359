"""Where DeepSpeed's ZeRO keeps the fp32 masters of a parameter."""

from typing import Any

from training.backends.base import Fragment


def master_fragment(parameter: Any, zero_stage: int, rank: int) -> Fragment | None:
    """The process's part of a parameter's fp32 masters; None where it has none.

    Args:
        parameter: of the network, with the attributes that DeepSpeed adds to it.
    """
    from deepspeed.utils import safe_get_local_fp32_param

    if zero_stage == 0:
        return Fragment(parameter.detach().view(-1), 0)
    if zero_stage == 3:
        values = safe_get_local_fp32_param(parameter).detach()
        start = values.numel() * rank
        return Fragment(values, start) if start < parameter.ds_numel else None
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    return Fragment(mapping.hp_fragment.detach(), mapping.lp_fragment_address.start)
