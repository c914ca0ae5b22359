"""The peak arithmetic of known GPUs, for MFU.

Dense figures of the vendors' data sheets, in TFLOP/s, without sparsity (which doubles what many data sheets
print): NVIDIA's of Tesla V100 SXM2, A100, A10, A40, L4, L40S, H100, H200 and HGX B200, and the white paper of
the Ada architecture for GeForce RTX 4090, there with fp32 accumulation. A10G: as AWS states it for EC2 G5.
"""

from typing import NamedTuple

import torch


class Peak(NamedTuple):
    """TFLOP/s of a GPU by the type of its products; None where it has none of that type."""

    bf16: float | None
    fp16: float
    tf32: float | None
    fp32: float


# Parts of the names that the driver reports; the first that fits counts.
_PEAKS: tuple[tuple[str, Peak], ...] = (
    ("V100", Peak(None, 125, None, 15.7)),
    ("A100", Peak(312, 312, 156, 19.5)),
    ("A10G", Peak(70, 70, 35, 31.5)),
    ("A10", Peak(125, 125, 62.5, 31.2)),
    ("A40", Peak(149.7, 149.7, 74.8, 37.4)),
    ("L40S", Peak(362, 362, 183, 91.6)),
    ("L4", Peak(121, 121, 60, 30.3)),
    ("RTX 4090", Peak(165.2, 165.2, 82.6, 82.6)),
    ("H100 NVL", Peak(835, 835, 418, 60)),
    ("H100 PCIe", Peak(756, 756, 378, 51)),
    ("H100", Peak(989, 989, 494, 67)),
    ("H200 NVL", Peak(835, 835, 418, 60)),
    ("H200", Peak(989, 989, 494, 67)),
    ("B200", Peak(2250, 2250, 1125, 75)),
)
# A part of a GPU, or one of another size and clock.
_SHARES = {"MIG", "Laptop"}


def peak_tflops(name: str, precision: str, *, tf32: bool = False) -> float | None:
    """TFLOP/s of a GPU, as the driver names it; None where it is not known.

    Args:
        precision: one of ``train.precision``.
        tf32: whether products of float32 matrices are computed in TF32.
    """
    words = set(name.replace("-", " ").split())
    if words & _SHARES:
        return None
    for known, peak in _PEAKS:
        if set(known.split()) <= words:
            return _of_precision(peak, precision, tf32)
    return None


def peak_of(device: torch.device, precision: str) -> float | None:
    """As :func:`peak_tflops`, of the GPU of this process; None on the CPU."""
    if device.type != "cuda":
        return None
    return peak_tflops(
        torch.cuda.get_device_name(device), precision, tf32=torch.backends.cuda.matmul.allow_tf32
    )


def _of_precision(peak: Peak, precision: str, tf32: bool) -> float | None:
    if precision in ("bf16", "autocast-bf16"):
        return peak.bf16
    if precision == "fp16":
        return peak.fp16
    return peak.tf32 if tf32 and peak.tf32 is not None else peak.fp32
