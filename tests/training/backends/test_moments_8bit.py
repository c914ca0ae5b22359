"""Moments of 8 bits without their package: bytes in plans, where they are refused, and what is reported."""

import pytest
import torch
from torch import nn

from core.errors import AnimaticError
from models.network.network import network_on_meta
from orchestration.planner.memory import Layout, step_memory
from orchestration.planner.passes import Pass
from orchestration.planner.sizes import sizes_of
from orchestration.workflows.preflight.checks import packages
from tests.support.training_jobs import small_config
from training.backends.optimizer import build_optimizer
from training.config import RunConfig
from training.moments_8bit import moment_bytes

SETS = ("train.image_batches=0", "train.zero_stage=0")


def config_8bit(*sets: str) -> RunConfig:
    return small_config(0, *SETS, "optimizer.kind=adamw_8bit", *sets)


def test_plans_count_a_byte_for_each_value_and_four_for_each_block():
    assert moment_bytes(256 * 100) == 2 * (256 * 100 + 4 * 100 + 4 * 256)
    assert moment_bytes(4095) == 8 * 4095 and moment_bytes(4097) == 8 * 4097
    plain, eight = small_config(0, *SETS), config_8bit()
    work = Pass(1, 0, 0, (), 0)
    found = [step_memory(sizes_of(each), Layout.of(each, 1, 1), work).moments for each in (plain, eight)]
    numels = [parameter.numel() for parameter in network_on_meta(eight.model).parameters()]
    assert found == [8 * sum(numels), sum(map(moment_bytes, numels))]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("train.zero_stage=2",), r"optimizer\.kind adamw_8bit .* set train\.zero_stage=0"),
        (("train.zero_stage=1", "train.offload_optimizer=true"), r"without train\.offload_optimizer"),
        (("train.offload_optimizer=true",), "use zero_stage 1 to 3"),
    ],
)
def test_it_is_refused_where_zero_shards_moments(sets, message):
    with pytest.raises(AnimaticError, match=message):
        config_8bit(*sets)


def test_without_the_package_the_message_has_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (check,) = packages(config_8bit())
    assert check.needed and not check.ok and "pip install 'animatic[8bit]'" in check.found
    with pytest.raises(AnimaticError, match="needs torchao"):
        build_optimizer(config_8bit(), [nn.Parameter(torch.ones(2))])
    assert not list(packages(small_config(0, *SETS)))
