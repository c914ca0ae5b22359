"""The peak of a GPU follows from the name that its driver reports, and from the precision."""

import pytest
import torch

from training.observe.devices import peak_of, peak_tflops


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", "autocast-bf16", 312),
        ("NVIDIA A100-SXM4-80GB", "fp32", 19.5),
        ("NVIDIA H100 80GB HBM3", "bf16", 989),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA H100 NVL", "fp16", 835),
        ("NVIDIA H200", "autocast-bf16", 989),
        ("NVIDIA A10G", "bf16", 70),
        ("NVIDIA A10", "bf16", 125),
        ("NVIDIA L40S", "bf16", 362),
        ("NVIDIA L4", "bf16", 121),
        ("Tesla V100-SXM2-32GB", "fp16", 125),
    ],
)
def test_a_known_gpu_has_the_peak_of_its_own_variant(name, precision, tflops):
    assert peak_tflops(name, precision) == tflops


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("NVIDIA Q1 Imaginary", "bf16"),
        ("Tesla V100-SXM2-32GB", "bf16"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "bf16"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16"),
    ],
)
def test_there_is_no_peak_of_what_is_not_known(name, precision):
    assert peak_tflops(name, precision) is None


def test_tf32_counts_where_it_is_switched_on_and_exists():
    assert peak_tflops("NVIDIA A100-SXM4-40GB", "fp32", tf32=True) == 156
    assert peak_tflops("Tesla V100-SXM2-32GB", "fp32", tf32=True) == 15.7


def test_a_processor_has_none():
    assert peak_of(torch.device("cpu"), "bf16") is None
