"""What is reported about workers that have stalled, and about processors that are not free."""

from types import SimpleNamespace

import pytest
import ray

from core.errors import AnimaticError
from orchestration.launch import resources
from orchestration.launch.resources import Wanted
from orchestration.launch.watch import Watch, stalled
from tests.support.training_jobs import small_config
from training.control import Phase
from training.processes.signs_of_life import Beat, Seen, Sign


def seen(
    rank: int, phase: Phase, step: int, seconds: float, *, ago_s: float = 1.0, longest: float = 0.0
) -> Seen:
    return Seen(Beat(rank, f"id-{rank}", "node", 100 + rank, phase, step, seconds, longest), ago_s)


def test_workers_that_progress_are_not_reported():
    assert stalled([seen(0, Phase.TRAINING, 8, 3), seen(1, Phase.TRAINING, 8, 3)]) is None


def test_a_worker_that_is_behind_the_others_is_named_with_what_it_does_and_since_when():
    wait = stalled([seen(0, Phase.TRAINING, 8, 40), seen(1, Phase.WAITING_FOR_DATA, 8, 41)])
    assert wait.message == (
        "worker 1 (node, pid 101): waiting for data (step 8) for 42 s; the others wait: training (step 8)"
    )


def test_a_worker_of_an_earlier_step_is_behind_whatever_it_does():
    wait = stalled([seen(0, Phase.WAITING_FOR_DATA, 9, 60), seen(1, Phase.DRAWING_SAMPLES, 8, 60)])
    assert wait.message.startswith("worker 1 (node, pid 101): drawing samples (step 8)")


def test_a_silent_worker_is_named_however_far_it_is():
    wait = stalled([seen(0, Phase.TRAINING, 8, 40), seen(1, Phase.TRAINING, 8, 1, ago_s=39)])
    assert wait.message == "no sign of life from worker 1 (node, pid 101) for 39 s, last training (step 8)"


def test_many_silent_workers_are_counted():
    silent = [seen(rank, Phase.TRAINING, 8, 1, ago_s=39) for rank in range(1, 9)]
    message = stalled([seen(0, Phase.TRAINING, 8, 40), *silent]).message
    assert "worker 3 (node, pid 103) and 5 more for 39 s" in message


def test_work_of_all_is_reported_as_such():
    workers = [seen(rank, Phase.SAVING_CHECKPOINT, 8, 50) for rank in (0, 1)]
    assert stalled(workers).message == "all 2 workers: saving checkpoint (step 8) for 51 s"


def test_a_run_of_slow_steps_gets_more_time():
    slow = [seen(rank, Phase.TRAINING, 8, 100, longest=40) for rank in (0, 1)]
    assert stalled(slow) is None
    assert stalled([seen(0, Phase.TRAINING, 8, 121, longest=40)]) is not None


@pytest.fixture
def cluster(monkeypatch):
    """Sets what Ray reports -> its processors and the free ones."""

    def sets(total: dict[str, float], free: dict[str, float], state: str = "PENDING") -> None:
        monkeypatch.setattr(
            ray.util, "placement_group_table", lambda: {"a": {"state": state, "bundles": [1, 2]}}
        )
        monkeypatch.setattr(ray, "cluster_resources", lambda: total)
        monkeypatch.setattr(ray, "available_resources", lambda: free)
        monkeypatch.setattr(ray, "nodes", list)

    sets.nodes = lambda *nodes: monkeypatch.setattr(ray, "nodes", lambda: list(nodes))
    return sets


@pytest.fixture
def watch(monkeypatch):
    """A watch of a board that has the given beats -> messages after each look."""
    messages: list[str] = []
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("orchestration.launch.watch.time.monotonic", lambda: clock.now)
    board = SimpleNamespace(seen=SimpleNamespace(remote=lambda: None))
    looks: list[tuple[dict[tuple[int, str], Sign], float]] = []
    made = Watch(
        board,
        Wanted(2, "CPU", None, 2),
        100.0,
        messages.append,
        lambda signs, waited: looks.append((signs, waited)),
    )

    def look(at_s: float, beats: list[Seen]) -> list[str]:
        clock.now = at_s
        monkeypatch.setattr(ray, "get", lambda *_, **__: beats)
        made.is_training()
        reported = messages[:]
        messages.clear()
        return reported

    look.watch, look.looks = made, looks
    return look


def test_processors_that_are_not_free_are_reported_again_and_again_until_the_limit(cluster, watch):
    cluster({"CPU": 4.0}, {"CPU": 1.0})
    assert watch(29, []) == []
    assert watch(31, []) == ["waiting for 2 CPUs: 1 of Ray's 4 are free, for 31 s"]
    assert watch(60, []) == []
    assert watch(62, []) == ["waiting for 2 CPUs: 1 of Ray's 4 are free, for 62 s"]
    assert watch.watch.given_up is None
    watch(101, [])
    assert watch.watch.given_up == (
        "no worker started within 101 s (waiting for 2 CPUs: 1 of Ray's 4 are free): end what uses "
        "the cluster, or wait longer with --set launch.wait_s=SECONDS"
    )


def test_each_look_passes_on_the_signs_of_life_and_how_long_the_run_has_waited(cluster, watch):
    cluster({"CPU": 4.0}, {"CPU": 2.0})
    cluster.nodes({"NodeID": "id-1", "Alive": True, "NodeManagerAddress": "10.0.0.2"})
    watch(12, [])
    watch(14, [seen(rank, Phase.TRAINING, 8, 1, ago_s=1 + rank) for rank in (0, 1)])
    watch(16, [seen(0, Phase.TRAINING, 8, 1, ago_s=3), seen(1, Phase.TRAINING, 8, 1, ago_s=34)])
    assert watch.looks == [
        ({}, 12),
        ({(0, "node"): (1, 8), (1, "node"): (2, 8)}, 0),
        ({(0, "node"): (3, 8), (1, "node"): (34, 8)}, 34),
    ]


def test_workers_that_ray_is_starting_are_reported(cluster, watch):
    cluster({"CPU": 4.0}, {"CPU": 2.0})
    assert watch(31, []) == ["waiting for Ray to start 2 workers, for 31 s"]


def test_processors_that_the_run_itself_has_reserved_are_not_waited_for(cluster, watch):
    cluster({"CPU": 4.0}, {"CPU": 1.0}, "CREATED")
    assert watch(31, []) == ["waiting for Ray to start 2 workers, for 31 s"]


def test_a_wait_is_reported_when_it_has_doubled_and_another_one_at_once(watch):
    assert len(watch(0, [seen(0, Phase.SAVING_CHECKPOINT, 8, 30)])) == 1
    assert watch(5, [seen(0, Phase.SAVING_CHECKPOINT, 8, 35)]) == []
    assert len(watch(40, [seen(0, Phase.SAVING_CHECKPOINT, 8, 70)])) == 1
    assert len(watch(80, [seen(0, Phase.TRAINING, 9, 31)])) == 1


@pytest.mark.parametrize(
    ("phase", "training"),
    [(Phase.LOADING_WEIGHTS, False), (Phase.READING_CHECKPOINT, False), (Phase.WAITING_FOR_DATA, True)],
)
def test_a_run_is_training_from_its_first_batch_on(watch, phase, training):
    watch(0, [seen(0, phase, 1, 1)])
    assert watch.watch.is_training() is training


def test_gpus_of_a_machine_without_one(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(resources, "device_count", lambda: 0)
    config = small_config(0, "launch.workers=2", "launch.gpus_per_worker=1")
    with pytest.raises(AnimaticError) as caught:
        Wanted.of(config).check_machine()
    assert str(caught.value) == (
        "the run needs 2 GPUs, but this machine has no GPU that torch can use: train on the CPU with --gpus "
        "0, or name a cluster that has with --address"
    )


def test_a_cluster_that_has_too_little_may_grow_while_a_run_waits(monkeypatch, cluster):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(resources, "device_count", lambda: 0)
    wanted = Wanted.of(small_config(0, "launch.workers=2", "launch.gpus_per_worker=1"))
    wanted.check_machine()
    cluster({"CPU": 4.0}, {})
    assert wanted.shortage() == "waiting for nodes to join: the run needs 2 GPUs, Ray has none"
    cluster({"CPU": 4.0, "GPU": 1.0}, {})
    assert wanted.shortage() == (
        "waiting for nodes to join: the run needs 2 GPUs, Ray has 1 GPU; --set launch.workers=1 trains on "
        "what it has"
    )
    cluster({"CPU": 4.0, "GPU": 2.0}, {})
    assert wanted.shortage() is None


def test_a_machine_that_has_too_little_refuses_a_run(monkeypatch, cluster):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster({"CPU": 4.0}, {})
    with pytest.raises(
        AnimaticError, match=r"launch.workers is 8, but Ray has 4 CPUs: --set launch.workers=4,"
    ):
        Wanted.of(small_config(0, "launch.workers=8", "train.global_batch=8")).shortage()
    with pytest.raises(AnimaticError, match=r"the run needs 2 GPUs, but Ray has no GPU: .* with --address$"):
        Wanted.of(small_config(0, "launch.workers=2", "launch.gpus_per_worker=1")).shortage()


def test_a_node_that_was_lost_is_reported_once_with_its_workers_and_the_wait_for_another(cluster, watch):
    cluster({"CPU": 1.0}, {"CPU": 0.0})
    cluster.nodes(
        {"NodeID": "id-0", "Alive": True, "NodeManagerAddress": "10.0.0.1"},
        {"NodeID": "id-1", "Alive": False, "NodeManagerAddress": "10.0.0.2"},
    )
    before = [seen(0, Phase.TRAINING, 8, 1, ago_s=6), seen(1, Phase.TRAINING, 8, 1, ago_s=6)]
    assert watch(6, before) == [
        "node 10.0.0.2 was lost, with worker 1 (node, pid 101), see logs/rank-1.log: the workers resume from "
        "the newest checkpoint once Ray has 2 CPUs again, within 100 s (launch.wait_s)"
    ]
    silent = [seen(rank, Phase.TRAINING, 8, 1, ago_s=40) for rank in (0, 1)]
    assert watch(40, silent) == ["waiting for nodes to join: the run needs 2 CPUs, Ray has 1 CPU, for 34 s"]
    watch(107, silent)
    assert watch.watch.given_up == (
        "no worker started within 101 s (waiting for nodes to join: the run needs 2 CPUs, Ray has 1 CPU): "
        "start a node and repeat the command, which resumes, or wait longer with --set launch.wait_s=SECONDS"
    )
