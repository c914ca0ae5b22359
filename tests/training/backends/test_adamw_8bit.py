"""AdamW with moments of 8 bits: its steps, its state in checkpoints, its bytes. Needs the extra ``8bit``."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support.training_jobs import small_config
from training.backends.engine_state import moments_of
from training.backends.optimizer import GuardedAdamW, build_optimizer
from training.backends.optimizer_state import Moments
from training.backends.zero import HeldPart
from training.checkpoints.state import Counters, Piece
from training.config import RunConfig
from training.moments_8bit import moment_bytes

pytest.importorskip("torchao", reason="animatic[8bit] is not installed")

SETS = ("train.zero_stage=0", "optimizer.lr=1e-2")
# Values: of whole blocks, few, and not of whole blocks.
SHAPES = ((96, 64), (64,), (65, 64))


def config_8bit(*sets: str) -> RunConfig:
    return small_config(0, "train.image_batches=0", *SETS, "optimizer.kind=adamw_8bit", *sets)


class Stored:
    """What the processes stored, joined as a checkpoint joins it."""

    folder = Path("checkpoint")

    def __init__(self, *parts: dict[str, Piece]) -> None:
        self.counters: Counters = {}
        self._tensors: dict[str, Tensor] = {}
        filled: dict[str, Tensor] = {}
        for part in parts:
            for key, piece in part.items():
                whole = self._tensors.setdefault(key, torch.zeros(piece.whole))
                seen = filled.setdefault(key, torch.zeros(piece.whole))
                whole[piece.start : piece.start + piece.values.numel()] = piece.values
                seen[piece.start : piece.start + piece.values.numel()] += 1
        assert all(bool((seen == 1).all()) for seen in filled.values())  # each value exactly once

    @property
    def keys(self):
        return self._tensors.keys()

    def whole(self, key: str) -> int:
        return self._tensors[key].numel()

    def read(self, key: str, start: int, count: int) -> Tensor:
        return self._tensors[key][start : start + count]


def begun(config: RunConfig) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    return parameters, build_optimizer(config, parameters)


def go_on(
    parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: range, power: int = 1
) -> None:
    """``power``: odd; higher ones give gradients of more orders of magnitude."""
    for step in steps:
        for parameter in parameters:
            generator = torch.Generator().manual_seed(1000 * step + parameter.numel())
            parameter.grad = torch.randn(parameter.shape, generator=generator) ** power
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / step
        optimizer.step()


def held(parameter: nn.Parameter) -> HeldPart:
    return HeldPart(parameter, 0, parameter.numel(), 0)


def stored(parameters: list[nn.Parameter], moments: Moments, processes: int = 1) -> Stored:
    shares: list[dict[str, Piece]] = [{} for _ in range(processes)]
    for name, parameter in enumerate(parameters):
        for rank, share in enumerate(shares):
            part = held(parameter).share(rank, processes)
            share |= moments.pieces(str(name), part, parameter.numel())
    return Stored(*shares)


@pytest.mark.parametrize("processes", [1, 3, 7])
def test_a_restored_optimizer_goes_on_bit_for_bit(processes):
    parameters, optimizer = begun(config_8bit())
    go_on(parameters, optimizer, range(1, 4), power=5)
    reader = stored(parameters, moments_of(optimizer, "adamw_8bit"), processes)
    others, restored = begun(config_8bit())
    for name, (other, parameter) in enumerate(zip(others, parameters, strict=True)):
        other.data.copy_(parameter.data)
        moments_of(restored, "adamw_8bit").restore(str(name), held(other), reader)
        restored.state[other]["step"].fill_(3)
    before, after = optimizer.state[parameters[0]], restored.state[others[0]]
    for kind in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(before[kind].codes, after[kind].codes) and before[kind].codes.unique().numel() > 50
        assert torch.equal(before[kind].scale, after[kind].scale)
    for each in ((parameters, optimizer), (others, restored)):
        go_on(*each, range(4, 6), power=5)
    assert all(torch.equal(one, other) for one, other in zip(parameters, others, strict=True))


def test_its_steps_are_those_of_adamw_but_for_rounded_moments():
    eight, plain = (begun(config) for config in (config_8bit(), small_config(0, *SETS)))
    start = [parameter.detach().clone() for parameter in eight[0]]
    for each in (eight, plain):
        go_on(*each, range(1, 6))
    errors = [
        (one - other).detach().norm().item() / (other - first).detach().norm().item()
        for one, other, first in zip(eight[0], plain[0], start, strict=True)
    ]
    # The small parameter, and the one without whole blocks, have moments in fp32.
    assert 1e-4 < errors[0] < 0.1 and max(errors[1:]) < 5e-5
    assert isinstance(plain[1], GuardedAdamW)


def test_moments_of_adamw_are_continued_and_the_other_way_round():
    eight, plain = (begun(config) for config in (config_8bit(), small_config(0, *SETS)))
    for each in (eight, plain):
        go_on(*each, range(1, 4))
    for (parameters, optimizer), kind, (others, other), other_kind in (
        (eight, "adamw_8bit", begun(small_config(0, *SETS)), "adamw"),
        (plain, "adamw", begun(config_8bit()), "adamw_8bit"),
    ):
        reader = stored(parameters, moments_of(optimizer, kind))
        for name, parameter in enumerate(others):
            moments_of(other, other_kind).restore(str(name), held(parameter), reader)
        again = stored(others, moments_of(other, other_kind))
        for key in (f"exp_avg{square}/{name}" for square in ("", "_sq") for name in range(len(SHAPES))):
            expected, found = reader.read(key, 0, 64), again.read(key, 0, 64)
            assert float((found - expected).norm() / expected.norm()) < 0.05, key


def test_a_gradient_that_is_not_finite_skips_the_step_and_others_are_clipped():
    parameters, optimizer = begun(config_8bit("optimizer.grad_clip=1"))
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    parameters[1].grad[3] = torch.inf
    optimizer.step()
    assert optimizer.overflow and all(map(torch.equal, parameters, before))
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert not optimizer.overflow and not torch.equal(parameters[0], before[0])
    assert sum(float(p.grad.square().sum()) for p in parameters) == pytest.approx(1.0, rel=1e-4)


def test_the_bytes_of_its_moments_are_those_that_the_planner_counts():
    parameters, optimizer = begun(config_8bit())
    go_on(parameters, optimizer, range(1, 2))
    for parameter in parameters:
        state = optimizer.state[parameter]
        tensors = [
            getattr(moment, attribute)
            for moment in (state["exp_avg"], state["exp_avg_sq"])
            for attribute in (("codes", "scale", "qmap") if hasattr(moment, "codes") else ("data",))
        ]
        assert sum(tensor.nbytes for tensor in tensors) == moment_bytes(parameter.numel())
