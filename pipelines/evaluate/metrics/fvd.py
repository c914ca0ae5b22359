"""FVD: the Fréchet distance of I3D features."""

from pipelines.evaluate.metrics.distance import FrechetMetric


class Fvd(FrechetMetric):
    """Fréchet video distance (Unterthiner et al. 2018, arXiv:1812.01717) between real and generated clips.

    The Fréchet distance of the 400 outputs of I3D, with StyleGAN-V's file and its normalisation of the
    covariance, by N. From 0 to ∞. It depends on N, frames, stride and resize, which its details record: two
    values compare only if all of them agree. It weighs single frames more than motion (Ge et al. 2024,
    arXiv:2404.12391).
    """

    name = "fvd"
    extractor = "i3d"
