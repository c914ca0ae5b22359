"""Figures that others have published for the protocols of this package: read in their source, not measured.

The table of the DynamiCrafter paper itself is not among them: its source was not readable when this list was
made. The values that its authors and others state differ for one checkpoint, so a published figure is a
reference point and never an input of a gate.
"""

from dataclasses import dataclass
from typing import Literal

from pipelines.evaluate.protocols.listing import PublicDataset

PublishedMetric = Literal["fvd", "pic"]


@dataclass(frozen=True)
class PublishedFigure:
    """One value from one source.

    Attributes:
        dataset: the protocol's dataset.
        system: as its source calls it.
        metric: name in the registry of metrics; the source's implementation may differ from ours.
        note: how the source measured it, as far as it states.
        source: what to cite.
        url: where it was read.
    """

    dataset: PublicDataset
    system: str
    metric: PublishedMetric
    value: float
    note: str
    source: str
    url: str


_PIX2GIF = ("Pix2Gif (Kandala et al. 2024), table 1", "https://arxiv.org/abs/2403.04634")
_LEAKAGE = ("thu-ml/cond-image-leakage, issue 11", "https://github.com/thu-ml/cond-image-leakage/issues/11")
_REPRODUCED = ("Doubiiu/DynamiCrafter, issue 10", "https://github.com/Doubiiu/DynamiCrafter/issues/10")
_ZERO_SHOT = "zero-shot, measured by the authors of Pix2Gif"

PUBLISHED: tuple[PublishedFigure, ...] = (
    PublishedFigure("ucf101", "I2VGen-XL", "fvd", 563.12, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("ucf101", "I2VGen-XL", "pic", 0.6329, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "I2VGen-XL", "fvd", 278.62, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "I2VGen-XL", "pic", 0.6018, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("ucf101", "DynamiCrafter", "fvd", 527.06, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("ucf101", "DynamiCrafter", "pic", 0.6307, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "DynamiCrafter", "fvd", 271.63, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "DynamiCrafter", "pic", 0.6135, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("ucf101", "Pix2Gif", "fvd", 285.02, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("ucf101", "Pix2Gif", "pic", 0.8763, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "Pix2Gif", "fvd", 168.69, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure("msrvtt", "Pix2Gif", "pic", 0.8521, _ZERO_SHOT, *_PIX2GIF),
    PublishedFigure(
        "ucf101", "DynamiCrafter 512", "fvd", 434.60, "2048 clips, rate input 3, by a user", *_LEAKAGE
    ),
    PublishedFigure(
        "ucf101", "DynamiCrafter 512", "fvd", 288.01, "2048 clips, rate input 8, by a user", *_LEAKAGE
    ),
    PublishedFigure("msrvtt", "DynamiCrafter", "fvd", 328.0, "2990 clips, by a user", *_REPRODUCED),
)


def published_figures(protocol: str) -> tuple[PublishedFigure, ...]:
    """The figures for a protocol; none for held-out clips of one's own."""
    return tuple(figure for figure in PUBLISHED if figure.dataset == protocol)
