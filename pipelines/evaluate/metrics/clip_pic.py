"""Conformity to the picture, by CLIP."""

from pipelines.evaluate.metrics.similarity import ConformityMetric


class ClipPic(ConformityMetric):
    """PIC's formula with 1 minus the cosine of CLIP's image features as D; from -1 to 1.

    Not PIC, whose D is DreamSim: CLIP's features are less sensitive to layout and detail. A frozen video has
    the maximum, 1.
    """

    name = "clip_pic"
    extractor = "clip"
