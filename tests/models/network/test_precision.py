"""Casts of the whole network to half precision: norms stay in float32, the result stays close."""

import pytest
import torch

from models.network.attention import GroupNorm
from tests.parity.cases import read_case
from tests.parity.video import VideoNumbers
from tests.support.paths import GOLDEN


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.bfloat16, 0.02), (torch.float16, 0.005)], ids=["bf16", "fp16"]
)
def test_a_cast_network_stays_close_to_float32(dtype, limit):
    numbers = VideoNumbers(read_case(GOLDEN / "512.json")[0])
    outputs = numbers.outputs()
    names = ("resampler_out", "unet_out")
    exact = {name: outputs[name]() for name in names}
    numbers.animator.network.unet.to(dtype)
    numbers.animator.network.context.to(dtype)
    for name in names:
        half = outputs[name]()
        assert half.dtype == dtype
        error = (half.float() - exact[name]).norm() / exact[name].norm()
        assert 0 < error < limit, (name, error)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_group_norm_computes_in_float32(dtype):
    torch.manual_seed(0)
    norm = GroupNorm(2, 8)
    x = (torch.randn(2, 8, 4, 4) + 200).to(dtype)
    exact = norm(x.float())
    torch.testing.assert_close(norm.to(dtype)(x), exact.to(dtype), rtol=0, atol=0)
