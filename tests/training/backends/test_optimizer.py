"""The optimizer without ZeRO, and the learning rate."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.training_jobs import small_config
from training.backends.optimizer import GuardedAdamW, build_optimizer, learning_rate


def test_the_learning_rate_warms_up_linearly_and_then_stays():
    config = small_config(0, "optimizer.lr=1e-3", "optimizer.warmup_steps=4")
    rates = [learning_rate(config, step) for step in (1, 2, 4, 5, 100)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 1e-3, 1e-3, 1e-3])
    assert learning_rate(small_config(0, "optimizer.lr=1e-3", "optimizer.warmup_steps=0"), 1) == 1e-3


@pytest.mark.parametrize(("zero_stage", "kind"), [(0, GuardedAdamW), (1, torch.optim.AdamW)])
def test_without_zero_the_optimizer_guards_itself(zero_stage, kind):
    config = small_config(0, f"train.zero_stage={zero_stage}", "optimizer.weight_decay=0.02")
    optimizer = build_optimizer(config, [nn.Parameter(torch.ones(2))])
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.02


def test_a_gradient_that_is_not_finite_skips_the_step():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = GuardedAdamW([parameter], max_norm=1.0, lr=0.1)
    parameter.grad = torch.tensor([1.0, float("nan")])
    optimizer.step()
    assert optimizer.overflow and torch.equal(parameter.detach(), torch.ones(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    assert not optimizer.overflow and not torch.equal(parameter.detach(), torch.ones(2))
    assert parameter.grad.norm() == pytest.approx(1.0)


@pytest.mark.parametrize("zero_stage", [0, 1])
def test_the_optimizer_is_fused_on_a_gpu_alone(zero_stage):
    config = small_config(0, f"train.zero_stage={zero_stage}")
    with FakeTensorMode():
        on_gpu = build_optimizer(config, [nn.Parameter(torch.ones(2, device="cuda"))])
    assert on_gpu.defaults["fused"] is True
    assert not build_optimizer(config, [nn.Parameter(torch.ones(2))]).defaults["fused"]
