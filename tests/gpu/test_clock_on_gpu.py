"""The clock of training steps on a GPU."""

import pytest
import torch

from training.clock import CudaTimeline, StepClock

CYCLES = 50_000_000


def test_phases_are_timed_on_the_device_without_waiting_for_it():
    torch.cuda.init()
    clock = StepClock(CudaTimeline())
    torch.cuda.set_sync_debug_mode("error")
    try:
        with clock.phase("forward"):
            torch.cuda._sleep(CYCLES)
        with clock.phase("backward"):
            torch.cuda._sleep(2 * CYCLES)
        early = clock.report()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    late = clock.report()
    forward, backward = (early.phases[name] + late.phases[name] for name in ("forward", "backward"))
    assert forward > 0.001
    assert backward == pytest.approx(2 * forward, rel=0.2)
