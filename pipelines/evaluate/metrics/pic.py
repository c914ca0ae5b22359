"""PIC: perceptual input conformity, by DreamSim."""

from pipelines.evaluate.metrics.similarity import ConformityMetric


class Pic(ConformityMetric):
    """PIC = 1/L · Σ_l (1 - D(x_in, x_l)) over the L frames (Xing et al. 2023, arXiv:2310.12190), D DreamSim.

    D is 1 minus the cosine of DreamSim's embeddings, so that PIC is the mean cosine; from -1 to 1, in
    practice above 0. A frozen video has the maximum, 1: read the dynamic degree beside it, and
    ``pic_on_real``, which is what clips that move have.
    """

    name = "pic"
    extractor = "dreamsim"
