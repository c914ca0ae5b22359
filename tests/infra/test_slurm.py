"""The batch scripts of Slurm, with stand-ins for Slurm's, Ray's and our own commands."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from orchestration.cli import app
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

SLURM = ROOT / "infra" / "slurm"
JOB_ID = "1007"
BASH = "#!/usr/bin/env bash\n"
COMMANDS = {
    "srun": 'echo "srun $*" >>"$LOG"; while [[ $1 == -* ]]; do shift; done; exec "$@"',
    "scontrol": (
        'echo "scontrol $*" >>"$LOG"; if [ "$1 $2" = "show hostnames" ]; then echo node1; echo node2; fi'
    ),
    "getent": 'echo "getent $*" >>"$LOG"; echo "10.77.0.1  STREAM node1"',
    "ray": (
        'echo "ray $*" >>"$LOG"; [ "$1" != stop ] || exit 0; '
        'stat -c "token %a" "$RAY_AUTH_TOKEN_PATH" >>"$LOG"; '
        'while [ "$1" != -- ]; do shift; done; shift; "$@"; exit 0'
    ),
    "animatic": 'printf "animatic" >>"$LOG"; printf " [%s]" "$@" >>"$LOG"; echo >>"$LOG"; eval "${DO:-}"',
}


class Job:
    """A batch script with its stand-ins. ``log``: what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.job = folder / "runs" / "slurm" / JOB_ID
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name, script in COMMANDS.items():
            self.command(name, script)
        (folder / "infra").symlink_to(ROOT / "infra")

    def command(self, name: str, script: str) -> None:
        """Replace a command by a script."""
        path = self._bin / name
        path.write_text(BASH + script + "\n")
        path.chmod(0o755)

    def start(self, script: str, **variables: str) -> subprocess.Popen[str]:
        """The script as Slurm starts it on the first node, with the user's variables."""
        spooled = self.folder / "slurm_script"  # as Slurm does, so that $0 is elsewhere
        spooled.write_bytes((SLURM / script).read_bytes())
        return self.bash(str(spooled), **variables)

    def bash(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """bash in the environment of a job."""
        environment = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "LOG": str(self.log),
            "SLURM_JOB_ID": JOB_ID,
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_SUBMIT_DIR": str(self.folder),
            "SLURM_CPUS_ON_NODE": "4",
            "RAY_TMPDIR": str(self.folder / "disk"),
            **variables,
        }
        return subprocess.Popen(
            ["bash", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
        )

    def run(self, script: str, **variables: str) -> tuple[int, str]:
        """Its exit code and output."""
        process = self.start(script, **variables)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def logged(self, command: str) -> list[str]:
        """The calls of a stand-in, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(f"{command} ")]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize("script", sorted(path.name for path in SLURM.iterdir()))
def test_scripts_are_bash(script: str) -> None:
    subprocess.run(["bash", "-n", SLURM / script], check=True)


def test_stages_are_trained_in_order_on_every_gpu_of_the_job(job: Job) -> None:
    code, output = job.run(
        "train.sbatch", SLURM_GPUS_ON_NODE="8", DATA="/shared/my data", SET="seed=1 train.steps=7"
    )
    assert code == 0, output
    settings = "[--preset] [512] [--data] [/shared/my data] [--set] [launch.workers=16] [--set] "
    settings += "[launch.gpus_per_worker=1] [--set] [seed=1] [--set] [train.steps=7]"
    assert job.logged("animatic") == [
        f"animatic [train] [--stage] [{stage}] {settings}" for stage in (1, 2, 3)
    ]
    assert not (job.folder / "disk" / f"ray-{JOB_ID}").exists()
    ray, stop = job.logged("ray")
    assert stop == "ray stop --force"
    # From the id of the job: its ports meet neither those of another job nor those of Ray's workers.
    assert "symmetric-run --address 10.77.0.1:22014 --min-nodes 2 --num-cpus 4 --num-gpus 8 " in ray
    assert "--dashboard-agent-listen-port 22015" in ray


@pytest.mark.parametrize(
    ("script", "given"),
    [
        ("train.sbatch", {"DATA": "data", "CONFIG": "pyproject.toml", "SET": "train.trainable=['unet.*']"}),
        ("ingest.sbatch", {"DATA": "t.csv", "VIDEOS": "videos", "OUT": "o", "WORKERS": "3", "SET": "seed=1"}),
    ],
)
def test_the_command_has_every_option_that_the_scripts_pass(
    job: Job, script: str, given: dict[str, str]
) -> None:
    code, output = job.run(script, STAGES="1", **given)
    assert code == 0, output
    [called] = job.logged("animatic")
    verb, *arguments = re.findall(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]", called)
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert f"--set {given['SET']}" in " ".join(arguments)
    command.commands[verb].make_context(verb, arguments)


def test_without_gpus_every_node_trains_on_its_processor(job: Job) -> None:
    code, output = job.run("train.sbatch", STAGES="3", PRESET="tiny")
    assert code == 0, output
    [trained] = job.logged("animatic")
    assert trained.endswith("[--preset] [tiny] [--set] [launch.workers=2] [--set] [launch.gpus_per_worker=0]")


def test_the_first_node_is_addressed_as_the_last_one_resolves_it(job: Job) -> None:
    job.run("train.sbatch")
    asked, started = job.logged("srun")
    assert "--nodelist=node2 getent ahostsv4 node1" in asked
    assert "--kill-on-bad-exit=1 --wait=60" in started


def test_a_job_of_one_node_does_not_depend_on_what_its_name_resolves_to(job: Job) -> None:
    job.command("scontrol", "echo node1")
    code, output = job.run("train.sbatch", SLURM_JOB_NUM_NODES="1", STAGES="1")
    assert code == 0, output
    assert not job.logged("getent")
    assert "symmetric-run --address 127.0.0.1:22014 --min-nodes 1 " in job.logged("ray")[0]


def test_a_stage_that_fails_ends_the_job_with_its_exit_code(job: Job) -> None:
    code, _ = job.run("train.sbatch", DO='[ "$3" != 2 ] || exit 7')
    assert code == 7
    assert (job.folder / "disk" / f"ray-{JOB_ID}").exists()  # Ray's logs
    assert len(job.logged("animatic")) == 2
    assert not job.logged("scontrol requeue")


def test_a_ray_that_does_not_start_fails_the_job_although_symmetric_run_exits_0(job: Job) -> None:
    job.command("ray", "echo 'Failed to start Ray'; exit 0")
    code, output = job.run("train.sbatch")
    assert code == 1
    assert "error: Ray did not start on all 2 nodes, or a node was lost" in output
    assert not job.logged("animatic")


def test_every_node_ends_as_soon_as_the_work_has_ended(job: Job) -> None:
    job.command("ray", 'echo "ray $*" >>"$LOG"; [ "$1" = stop ] || exec sleep 1000')
    job.job.mkdir(parents=True)
    exported = {"JOB": str(job.job), "RAY_ADDRESS": "10.77.0.1:22014", "GPUS_PER_NODE": "0"}
    exported |= {"OBJECT_STORE": "100000000", "AGENT_PORT": "22015"}
    process = job.bash(str(SLURM / "on_ray.sh"), "node", **exported)
    wait_until(lambda: job.logged("ray symmetric-run"))
    (job.job / "status").write_text("0\n")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert job.logged("ray")[1:] == ["ray stop --force"]
    assert not (job.folder / "disk" / f"ray-{JOB_ID}").exists()


def test_the_token_of_ray_is_readable_by_the_user_alone_and_removed_at_the_end(job: Job) -> None:
    job.command("srun", 'cat "$ANIMATIC_RUNS/slurm/$SLURM_JOB_ID/token" >>"$LOG.tokens"; ' + COMMANDS["srun"])
    job.run("train.sbatch")
    job.run("train.sbatch")
    assert job.logged("token") == ["token 600"] * 2
    tokens = (job.folder / "log.tokens").read_text()
    assert len(tokens) == 128 and tokens[:64] != tokens[64:]
    assert not (job.job / "token").exists()


# As animatic train: what runs ends with the checkpoint of the step in progress.
TRAINING = (
    'trap "echo saved >>$LOG; exit 143" TERM; trap "echo saved >>$LOG; exit 75" USR1; '
    'touch "$LOG.training"; while :; do sleep 0.1; done'
)


@pytest.mark.parametrize(
    ("number", "restarts", "code", "requeued"),
    [
        (signal.SIGUSR1, "0", 75, True),
        (signal.SIGUSR1, "20", 75, False),
        (signal.SIGTERM, "0", 143, True),
        (signal.SIGINT, "0", 143, False),
    ],
)
def test_a_signal_stops_training_with_a_checkpoint_and_a_warning_requeues(
    job: Job, number: signal.Signals, restarts: str, code: int, requeued: bool
) -> None:
    process = job.start("train.sbatch", DO=TRAINING, SLURM_RESTART_COUNT=restarts)
    wait_until((job.folder / "log.training").exists)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert job.log.read_text().count("saved") == 1
    assert len(job.logged("animatic")) == 1
    assert bool(job.logged("scontrol requeue")) is requeued


def test_a_run_whose_processors_are_withdrawn_without_a_signal_to_the_job_is_requeued(job: Job) -> None:
    code, output = job.run("train.sbatch", DO="exit 75")
    assert code == 75, output
    assert job.logged("scontrol requeue")


def test_a_warning_ends_an_ingest_by_sigterm(job: Job) -> None:
    process = job.start("ingest.sbatch", DATA="t.csv", DO=TRAINING)
    wait_until((job.folder / "log.training").exists)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert job.logged("scontrol requeue")


def test_a_requeued_job_forgets_how_its_last_attempt_ended(job: Job) -> None:
    job.run("train.sbatch", DO="exit 3")
    (job.job / "stop").touch()
    code, output = job.run("train.sbatch", SLURM_RESTART_COUNT="1")
    assert code == 0, output
    assert len(job.logged("animatic")) == 1 + 3


def test_ingest_takes_its_settings_from_variables(job: Job) -> None:
    code, output = job.run("ingest.sbatch", DATA="t.csv", VIDEOS="my videos", OUT="out", SET="seed=1")
    assert code == 0, output
    assert job.logged("animatic") == [
        "animatic [ingest] [t.csv] [--preset] [512] [--out] [out] [--videos] [my videos] [--set] [seed=1]"
    ]


def test_what_is_missing_is_named_before_ray_starts(job: Job) -> None:
    code, output = job.run("ingest.sbatch")
    assert code == 1 and "name the source table: DATA=TABLE sbatch" in output
    (job.folder / "infra").unlink()
    code, output = job.run("train.sbatch")
    assert code == 1 and "call sbatch in the folder of the code" in output
    assert not job.log.exists()


def test_a_container_runs_everything_on_the_nodes(job: Job) -> None:
    job.command("apptainer", 'echo "apptainer $*" >>"$LOG"; shift 2; exec "$@"')
    code, output = job.run(
        "train.sbatch", RUN_IN="apptainer exec image.sif", SRUN_OPTIONS="--export=ALL --label", STAGES="1"
    )
    assert code == 0, output
    assert job.logged("apptainer") == [f"apptainer exec image.sif bash {job.job}/on_ray.sh node"]
    assert "--wait=60 --export=ALL --label apptainer exec" in job.logged("srun")[-1]
