"""AdamW's state as it is created for a checkpoint is the one that AdamW creates itself."""

import pytest
import torch

from training.backends.optimizer_state import MOMENTS, moment, set_updates


def stepped(fused: bool, *, prepared: bool, updates: int = 2) -> torch.optim.AdamW:
    """AdamW after some updates; ``prepared``: its state was created before the first one."""
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = torch.optim.AdamW([weights], lr=0.1, fused=fused)
    if prepared:
        for kind in MOMENTS:
            moment(optimizer, weights, kind)
    for _ in range(updates):
        weights.grad = weights.detach() * 2
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("fused", [False, True])
def test_state_that_was_created_before_the_first_update_changes_nothing(fused):
    one, other = (stepped(fused, prepared=prepared) for prepared in (False, True))
    ((weights, state),), ((again, prepared),) = one.state.items(), other.state.items()
    assert torch.equal(weights, again) and state.keys() == prepared.keys()
    for name, value in state.items():
        assert torch.equal(value, prepared[name])
        assert (value.dtype, value.device) == (prepared[name].dtype, prepared[name].device)


def test_the_number_of_updates_corrects_the_bias_of_the_moments():
    optimizer = stepped(False, prepared=True, updates=0)
    ((weights, state),) = optimizer.state.items()
    set_updates(optimizer, [weights], 5)
    weights.grad = torch.ones(7)
    optimizer.step()
    assert state["step"] == 6 and moment(optimizer, weights, "exp_avg") is state["exp_avg"]
