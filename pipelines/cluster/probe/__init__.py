"""What every node of a Ray cluster has, gathered there: versions, devices, disks, network, clocks.

The code of this package that runs on nodes is sent to them, and needs only Ray there: so that a node without
animatic, or with another version of it, can be examined too.
"""

from pipelines.cluster.probe.cluster import Limits, Request, probe_cluster
from pipelines.cluster.probe.facts import (
    Clock,
    ClusterFacts,
    Disk,
    Gpu,
    NodeFacts,
    ProbedNode,
    RayNode,
    RdmaDevice,
    Software,
)
from pipelines.cluster.probe.software import code_digest, read_store, software_here

__all__ = [
    "Clock",
    "ClusterFacts",
    "Disk",
    "Gpu",
    "Limits",
    "NodeFacts",
    "ProbedNode",
    "RayNode",
    "RdmaDevice",
    "Request",
    "Software",
    "code_digest",
    "probe_cluster",
    "read_store",
    "software_here",
]
