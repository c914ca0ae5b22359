"""KVD: the kernel distance of I3D features."""

from pipelines.evaluate.metrics.distance import KernelMetric


class Kvd(KernelMetric):
    """Kernel video distance (Unterthiner et al. 2018, arXiv:1812.01717) between real and generated clips.

    The unbiased MMD² of the same features as FVD, as the code of LVDM computes it. Expected to be 0 for equal
    distributions, whatever N is, and slightly negative by chance; without upper bound.
    """

    name = "kvd"
    extractor = "i3d"
