"""The kernel distance of VideoMAE features."""

from pipelines.evaluate.metrics.distance import KernelMetric


class VideoMaeKernel(KernelMetric):
    """The unbiased MMD² of VideoMAE features between real and generated clips, computed as KVD is.

    Expected to be 0 for equal distributions, whatever N is, and slightly negative by chance.
    """

    name = "videomae_kernel"
    extractor = "videomae"
