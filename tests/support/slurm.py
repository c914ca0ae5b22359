"""Slurm on the nodes of one machine: its own daemons, or stand-ins for srun and scontrol."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.two_nodes import NETWORK, Nodes, Running
from tests.support.waiting import wait_until

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_CONFIGURATION = """
ClusterName=test
SlurmctldHost=node1({network}.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=10
StateSaveLocation={folder}/state
SlurmdSpoolDir=/tmp/ray/slurmd
SlurmctldPidFile=/tmp/ray/slurmctld.pid
SlurmdPidFile=/tmp/ray/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=node1 NodeAddr={network}.1 CPUs=2 State=UNKNOWN
NodeName=node2 NodeAddr={network}.2 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""
_TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def missing() -> str | None:
    """Why this machine cannot run Slurm; None where it can."""
    absent = [name for name in ("slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path=PATH)]
    return f"Slurm is not installed: {absent[0]}" if absent else None


class Slurm:
    """Slurm's daemons on two nodes. Jobs are submitted on the first."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self._nodes, self._folder = nodes, folder
        self._environment = {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        """Start them; returns when both nodes take jobs."""
        (self._folder / "state").mkdir(parents=True)
        text = _CONFIGURATION.format(network=NETWORK, folder=self._folder)
        (self._folder / "slurm.conf").write_text(text)
        (self._folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self._nodes[0].start(["slurmctld", "-D", "-i"], self._environment)
        for node in self._nodes.nodes[:2]:
            start = f"mkdir -p /tmp/ray/slurmd && exec slurmd -D -N {node.name}"
            node.start(["bash", "-c", start], self._environment)
        wait_until(
            lambda: "node[1-2] idle" in self._ask("sinfo", "--noheader", "--format=%N %T"), every_s=0.2
        )

    def submit(self, script: Path, output: Path, cwd: Path, variables: Mapping[str, str]) -> str:
        """The id of the new job, whose output is appended to a file."""
        command = ["sbatch", "--parsable", f"--output={output}", str(script)]
        job = self._nodes[0].run(command, {**self._environment, **variables}, cwd)
        return job.strip()

    def signal(self, job: str, name: str) -> None:
        """Send a signal to the batch script, as Slurm does before a time limit."""
        self._ask("scancel", "--batch", f"--signal={name}", job)

    def until(self, job: str, *states: str, timeout_s: float) -> None:
        """Wait until the job is in one of these states. Another end is an error."""
        self.wait_for(job, lambda: self._field(job, "JobState") in states, timeout_s)

    def wait_for(self, job: str, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a moment of a job. A job that ends before is an error."""

        def ended() -> str | None:
            state = self._field(job, "JobState")
            return f"the job is {state}" if state in _TERMINAL else None

        wait_until(holds, timeout_s, ended, every_s=0.2)

    def exit_code(self, job: str) -> int:
        """Of the batch script of a job that has ended."""
        return int(self._field(job, "ExitCode").split(":")[0])

    def start_soon(self, job: str) -> None:
        """A requeued job would wait for two minutes. Nodes refuse one that starts while they still end it."""
        self._ask("scontrol", "update", f"JobId={job}", "StartTime=now+15")

    def _field(self, job: str, name: str) -> str:
        words = self._ask("scontrol", "show", "job", job).split()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def _ask(self, *command: str) -> str:
        return self._nodes[0].run(command, self._environment)


class StandIns:
    """srun and scontrol as scripts: the batch script runs beside the nodes, its steps on them."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self._nodes, self._folder = nodes, folder

    def start(self) -> None:
        """Write the scripts."""
        self._folder.mkdir(parents=True)
        names = " ".join(node.name for node in self._nodes.nodes)
        enter = [f'{node.name}) {shlex.join(node.entering("/"))} "$@" ;;' for node in self._nodes.nodes]
        self._write("scontrol", f'[ "$1 $2" = "show hostnames" ] && printf "%s\\n" {names}')
        self._write(
            "srun",
            f'chosen="{names}"',
            "while [[ $1 == -* ]]; do case $1 in --nodelist=*) chosen=${1#*=} ;; esac; shift; done",
            f"on() {{ local node=$1; shift; case $node in {' '.join(enter)} esac; }}",
            'for name in $chosen; do on "$name" "$@" & done',
            "wait",
        )

    def run(self, script: Path, output: Path, cwd: Path, variables: Mapping[str, str]) -> Running:
        """Run the batch script as Slurm would."""
        count = len(self._nodes.nodes)
        environment = {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": str(count),
            "SLURM_JOB_NODELIST": f"node[1-{count}]",
            "SLURM_SUBMIT_DIR": str(cwd),
            "SLURM_CPUS_ON_NODE": "1",
            **variables,
            "PATH": f"{self._folder}:{variables.get('PATH', PATH)}",
        }
        with output.open("ab") as file:
            process = subprocess.Popen(["bash", script], env=environment, stdout=file, stderr=file, cwd=cwd)
        return Running(process, output)

    def _write(self, name: str, *lines: str) -> None:
        path = self._folder / name
        path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
        path.chmod(0o755)
