"""What a machine or a cluster has for animatic's work, and what is missing."""

from orchestration.workflows.doctor.checks import Check
from orchestration.workflows.doctor.cluster import ClusterReport, examine_cluster, judge
from orchestration.workflows.doctor.machine import examine

__all__ = ["Check", "ClusterReport", "examine", "examine_cluster", "judge"]
