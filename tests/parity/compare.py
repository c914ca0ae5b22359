"""Tolerances, and one result for every output."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import Tensor

SINGLE_PASS = 1e-4  # absolute
SAMPLER = 2e-3  # of the expected output's standard deviation
GRAD_NORM = 1e-3  # relative
# Below this, the norm of a gradient that is zero but for rounding: compared absolutely.
GRAD_FLOOR = 1e-6


@dataclass(frozen=True)
class Result:
    """One line of the report; ``max_abs_error`` is None where it is not finite or the shapes differ."""

    case: str
    name: str
    max_abs_error: float | None
    tolerance: float
    passed: bool
    detail: str | None = None

    def line(self) -> dict[str, object]:
        """The result as printed."""
        values = {key: value for key, value in asdict(self).items() if key != "detail" or value}
        return {("pass" if key == "passed" else key): value for key, value in values.items()}


def compare(case: str, name: str, ours: Tensor, expected: Tensor) -> Result:
    """Integers have to be equal, samplers close relative to their spread, the rest close absolutely."""
    tolerance = SINGLE_PASS
    if not expected.is_floating_point():
        tolerance = 0.0
    elif name.startswith("ddim_"):
        tolerance = SAMPLER * float(expected.double().std())
    if ours.shape != expected.shape:
        shapes = f"the shape is {tuple(ours.shape)}, not {tuple(expected.shape)}"
        return Result(case, name, None, tolerance, False, shapes)
    error = float((ours.cpu().double() - expected.double()).abs().max())
    if not math.isfinite(error):
        return Result(case, name, None, tolerance, False, "not finite")
    return Result(case, name, error, tolerance, error <= tolerance)


def compare_norms(case: str, ours: Mapping[str, float], expected: Mapping[str, float]) -> Result:
    """The worst of all gradient norms, in units of its tolerance.

    The error is relative for norms from ``GRAD_FLOOR`` on, and the absolute difference / ``GRAD_FLOOR`` *
    ``GRAD_NORM`` below: a norm that is rounding noise may be off by ``GRAD_FLOOR``.
    """
    errors = {key: _norm_error(ours[key], norm) for key, norm in expected.items()}
    broken = [key for key, error in errors.items() if not math.isfinite(error)]
    if broken:
        return Result(case, "grad_norm", None, GRAD_NORM, False, f"not finite: {broken[0]}")
    worst = max(errors, key=lambda key: errors[key])
    detail = (
        f"relative error; worst of {len(errors)}: {worst} is {ours[worst]:.6g}, not {expected[worst]:.6g}"
    )
    return Result(case, "grad_norm", errors[worst], GRAD_NORM, errors[worst] <= GRAD_NORM, detail)


def _norm_error(ours: float, expected: float) -> float:
    difference = abs(ours - expected)
    return difference / expected if expected >= GRAD_FLOOR else difference / GRAD_FLOOR * GRAD_NORM
