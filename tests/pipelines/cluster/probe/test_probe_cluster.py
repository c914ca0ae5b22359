"""A running Ray is examined node by node, however busy it is, and nothing is left of it."""

import sys

import ray
from ray import cloudpickle

from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.probe import Request, probe_cluster, software_here

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


class Holder:
    """Uses processors."""

    def ready(self) -> None:
        """Answers once it has them."""


def test_a_busy_node_answers_everything(tmp_path):
    ensure_ray()
    holder = ray.remote(num_cpus=int(ray.cluster_resources()["CPU"]))(Holder).remote()
    ray.get(holder.ready.remote())
    (tmp_path / "table.csv").touch()
    try:
        facts = probe_cluster(Request(["ray"], tmp_path / "runs", str(tmp_path / "table.csv")))
    finally:
        ray.kill(holder)
    (node,) = facts.nodes
    assert (node.silent, node.run_folder_problem, node.unreachable) == (None, None, {})
    assert node.node.is_head and node.node.cpus == ray.cluster_resources()["CPU"]
    assert node.clock is not None and abs(node.clock.ahead_s) <= node.clock.uncertainty_s
    assert node.facts is not None and node.facts.store_problem is None
    assert node.facts.software == facts.driver == software_here(["ray"])
    assert node.facts.ray_folder.path.rpartition("/")[2].startswith("session_")
    assert facts.run_folder == str(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
