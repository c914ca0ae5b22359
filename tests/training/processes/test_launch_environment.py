"""Each launcher's variables give a process the same rank."""

import pytest

from core.errors import AnimaticError
from training.processes.launch_environment import adopt_launcher, first_host, tasks_of_node

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_STEP_NODELIST": "gpu[07-09]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


def adopted(**given: str) -> tuple[str | None, ...]:
    environment = dict(given)
    adopt_launcher(environment)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return tuple(environment.get(name) for name in names)


def test_tasks_of_slurm_meet_at_the_first_node_of_their_step():
    assert adopted(**SLURM) == ("5", "6", "1", "2", "gpu07", str(15_000 + 47110 % 15_000))
    chosen = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29501"}
    assert adopted(**SLURM, **chosen) == ("5", "6", "1", "2", "10.0.0.1", "29501")


def test_a_batch_script_that_no_srun_started_is_alone():
    batch = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_NTASKS": "6", "SLURM_LOCALID": "0"}
    assert adopted(**batch) == (None,) * 6
    assert adopted() == (None,) * 6


def test_what_torchrun_and_deepspeed_set_stays_inside_of_slurm_too():
    own = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert adopted(**SLURM, **own, LOCAL_WORLD_SIZE="2") == ("1", "2", "1", "2", "a", "1")
    assert adopted(**own, LOCAL_SIZE="2") == ("1", "2", "1", "2", "a", "1")


def test_a_rank_without_the_rest_is_refused():
    """As in a shell in which someone has tried a launcher."""
    with pytest.raises(AnimaticError, match="RANK is set in the environment, but WORLD_SIZE and MASTER_PORT"):
        adopted(RANK="0", MASTER_ADDR="a")


def test_processes_of_mpi_on_several_nodes_need_the_address_of_the_first():
    assert adopted(**MPICH) == ("1", "2", "1", "2", "127.0.0.1", "29500")
    assert adopted(**OPEN_MPI, MASTER_ADDR="a") == ("3", "4", "1", "2", "a", "29500")
    with pytest.raises(AnimaticError, match="mpirun -x MASTER_ADDR=HOST"):
        adopted(**OPEN_MPI)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu07", "gpu07"),
        ("gpu07,gpu09", "gpu07"),
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("gpu[7,9]", "gpu7"),
        ("login,gpu[7,9]", "login"),
        ("rack[1-2]-node", "rack1-node"),
        ("rack[1-2]-node,x", "rack1-node"),
    ],
)
def test_the_first_host_of_a_list_of_slurm(nodes, first):
    assert first_host(nodes) == first


def test_the_tasks_of_a_node_of_slurm():
    assert [tasks_of_node("2(x3),1,4", node) for node in range(5)] == [2, 2, 2, 1, 4]
    with pytest.raises(AnimaticError, match="has no node 1"):
        tasks_of_node("8", 1)
