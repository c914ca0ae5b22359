"""Losses by quarter of the schedule."""

import math

import pytest
import torch

from training.observe.quantiles import QuarterLosses, quarter_means


def test_each_loss_counts_in_the_quarter_of_its_diffusion_step():
    quarters = QuarterLosses(1000)
    quarters.add(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 249, 250]))
    quarters.add(torch.tensor([5.0, 7.0]), torch.tensor([750, 999]))
    assert quarter_means([quarters.sums()]) == {
        "train/loss_q1": 1.5,
        "train/loss_q2": 3.0,
        "train/loss_q4": 6.0,
    }
    assert quarter_means([quarters.sums()]) == {}


def test_losses_without_a_step_and_those_that_are_not_finite_do_not_count():
    quarters = QuarterLosses(100)
    quarters.add(torch.tensor([1.0, math.nan, 4.0]), torch.tensor([-1, 30, 31]))
    assert quarter_means([quarters.sums()]) == {"train/loss_q2": 4.0}


def test_processes_weigh_by_their_samples():
    shares = [QuarterLosses(4) for _ in range(2)]
    shares[0].add(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 0]))
    shares[1].add(torch.tensor([10.0]), torch.tensor([0]))
    assert quarter_means([share.sums() for share in shares])["train/loss_q1"] == pytest.approx(4.0)
