"""The task for SkyPilot on two nodes: Ray on both, stages trained across them, and the end of both."""

from pathlib import Path

import pytest
import yaml

from orchestration.registry import Ledger
from tests.support.paths import ROOT
from tests.support.ray_nodes import environment
from tests.support.two_nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def variables(folder: Path, nodes: Nodes, rank: int, data: Path) -> dict[str, str]:
    """What SkyPilot sets on a node, and what the user gives."""
    own = environment(folder)
    del own["RAY_AUTH_MODE"], own["ANIMATIC_RUNS"]  # the script decides
    quick = ["train.steps=2", "train.global_batch=4", "train.log_every=1", "tracking.wandb=disabled"]
    task = yaml.safe_load((ROOT / "infra/sky/train.yaml").read_text())
    return {
        **own,
        **task["envs"],
        "NFS": "",
        "DATA": str(data),
        "PRESET": "tiny",
        "STAGES": "1 2",
        "SET": " ".join(quick),
        "SKYPILOT_TASK_ID": "sky-task",
        "SKYPILOT_NODE_RANK": str(rank),
        "SKYPILOT_NODE_IPS": "\n".join(node.address for node in nodes.nodes),
        "SKYPILOT_NUM_NODES": str(len(nodes.nodes)),
        "SKYPILOT_NUM_GPUS_PER_NODE": "0",
        "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(200 << 20),
    }


def test_stages_are_trained_in_order_on_the_nodes_of_a_task(
    two: Nodes, tmp_path: Path, dataset: Path
) -> None:
    script = yaml.safe_load((ROOT / "infra/sky/train.yaml").read_text())["run"]
    command = ["bash", "-c", script.replace("/shared/", f"{tmp_path}/")]

    # The second node waits for the first one's token and for its Ray.
    second, first = (
        two[rank].start(command, variables(tmp_path, two, rank, dataset), ROOT) for rank in (1, 0)
    )

    assert first.wait(800) == 0, first.text[-6000:]
    assert second.wait(240) == 0, second.text[-6000:]
    ledger = Ledger(tmp_path / "runs")
    for stage in (1, 2):
        assert (tmp_path / "runs" / ledger.newest(stage, "tiny").bundle_path / "bundle.json").exists()
    assert not list((tmp_path / "runs/sky/sky-task").iterdir())  # the token is gone
    for node in two.nodes:
        assert "gcs_server" not in node.run(["ps", "-A", "-o", "args"], {"PATH": "/usr/bin:/bin"})


def test_a_node_whose_first_node_does_not_start_gives_up_with_the_reason(
    two: Nodes, tmp_path: Path, dataset: Path
) -> None:
    script = yaml.safe_load((ROOT / "infra/sky/train.yaml").read_text())["run"]
    command = ["bash", "-c", script.replace("/shared/", f"{tmp_path}/")]
    settings = variables(tmp_path, two, 1, dataset) | {"START_TIMEOUT": "1"}

    second = two[1].start(command, settings, ROOT)

    assert second.wait(60) == 1
    assert (
        second.text == f"error: no token of the first node in {tmp_path}/runs/sky/sky-task after 1 seconds\n"
    )
