"""The Fréchet distance of VideoMAE features."""

from pipelines.evaluate.metrics.distance import FrechetMetric


class VideoMaeFrechet(FrechetMetric):
    """The Fréchet distance of VideoMAE features between real and generated clips; from 0 to ∞.

    Features of self-supervised video transformers notice distorted motion that those of I3D do not (Ge et al.
    2024, arXiv:2404.12391). It is named by its network: only that of I3D is FVD. It depends on N as FVD does.
    """

    name = "videomae_frechet"
    extractor = "videomae"
