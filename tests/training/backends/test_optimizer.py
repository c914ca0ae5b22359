"""The optimizer: its kind, its groups, and what it does without ZeRO."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.training_jobs import small_config
from training.backends.optimizer import GuardedAdamW, build_optimizer


@pytest.mark.parametrize(("zero_stage", "kind"), [(0, GuardedAdamW), (1, torch.optim.AdamW)])
def test_without_zero_the_optimizer_guards_itself(zero_stage, kind):
    config = small_config(0, f"train.zero_stage={zero_stage}", "optimizer.weight_decay=0.02")
    optimizer = build_optimizer(config, [nn.Parameter(torch.ones(2))])
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.02


@pytest.mark.parametrize("zero_stage", [0, 1])
def test_adamw_has_the_configured_rates_and_epsilon(zero_stage):
    sets = ("optimizer.lr=3e-4", "optimizer.betas=[0.8, 0.95]", "optimizer.eps=1e-6")
    config = small_config(0, f"train.zero_stage={zero_stage}", *sets)
    (group,) = build_optimizer(config, [nn.Parameter(torch.ones(2))]).param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (3e-4, (0.8, 0.95), 1e-6)


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


@pytest.mark.parametrize("zero_stage", [0, 2])
@pytest.mark.parametrize("chosen", ["all", "matrices"])
def test_biases_and_the_scales_of_norms_decay_only_where_all_parameters_do(zero_stage, chosen):
    sets = (f"train.zero_stage={zero_stage}", "optimizer.weight_decay=0.02")
    config = small_config(0, *sets, f"optimizer.weight_decay_on={chosen}")
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(4, 4, 1))
    parameters = dict(network.named_parameters())
    groups = build_optimizer(config, list(parameters.values())).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    found = {name: decay[id(parameter)] for name, parameter in parameters.items()}
    others = 0.02 if chosen == "all" else 0.0
    assert found == {name: 0.02 if name in ("0.weight", "2.weight") else others for name in parameters}
    assert len(groups) == (1 if chosen == "all" else 2)


def test_without_biases_there_is_one_group():
    config = small_config(0, "optimizer.weight_decay_on=matrices")
    (group,) = build_optimizer(config, [nn.Parameter(torch.ones(2, 2))]).param_groups
    assert group["weight_decay"] == config.optimizer.weight_decay
