"""Probing all nodes of the cluster that this process is connected to."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from pydantic import TypeAdapter

from core.disk_errors import usable_folder
from pipelines.cluster.probe.facts import Clock, ClusterFacts, NodeFacts, ProbedNode
from pipelines.cluster.probe.node import DRIVER_FILE
from pipelines.cluster.probe.session import Session, probe_session
from pipelines.cluster.probe.software import software_here

_CLOCK_READINGS = 5
_ALL_PAIRS = 16  # nodes: so many are connected with one another, in larger clusters each with some
_SOME_PEERS = 8


@dataclass(frozen=True)
class Limits:
    """How long nodes may take, in seconds: to start a process, to connect, to examine themselves."""

    start_s: float = 90.0
    connect_s: float = 5.0
    facts_s: float = 240.0


@dataclass(frozen=True)
class Request:
    """What to look at: versions of ``libraries``, the folder of runs, and data (URL or path) if any."""

    libraries: Sequence[str]
    run_folder: Path
    data: str | None = None


def probe_cluster(request: Request, limits: Limits = Limits()) -> ClusterFacts:
    """Ask every living node; Ray must be connected. Needs no free CPU or GPU of any of them.

    Raises:
        AnimaticError: the driver itself cannot write to the run folder.
    """
    run_folder = request.run_folder.resolve()
    with probe_session() as session:
        session.ask("its clock", limits.start_s, lambda _, probe: probe.time.remote())
        clocks = {node.id: _clock(session, node.id, limits) for node in session.answering}
        unreachable = _connect(session, limits)
        problems = _exchange(session, run_folder, limits)
        facts = _facts(session, request, run_folder, limits)
        nodes = [
            ProbedNode(
                node=node,
                facts=facts.get(node.id),
                silent=session.silent.get(node.id),
                clock=clocks.get(node.id),
                run_folder_problem=problems.get(node.id),
                unreachable=unreachable.get(node.id, {}),
            )
            for node in session.nodes
        ]
    return ClusterFacts(software_here(request.libraries), str(run_folder), nodes, request.data)


def peers_of(index: int, count: int) -> list[int]:
    """To which of ``count`` nodes the one at ``index`` connects: to all others, or in large clusters to the
    first one and the next few."""
    others = [(index + step) % count for step in range(1, count)]
    return others if count <= _ALL_PAIRS else sorted({0, *others[:_SOME_PEERS]} - {index})


def _clock(session: Session, node: str, limits: Limits) -> Clock | None:
    """The most exact of some readings: the node's clock was read between question and answer."""
    readings = []
    for _ in range(_CLOCK_READINGS):
        asked = time.time()
        try:
            there = ray.get(session.probes[node].time.remote(), timeout=limits.connect_s)
        except ray.exceptions.RayError:  # the next question notices, too
            break
        answered = time.time()
        readings.append(Clock(there - (asked + answered) / 2, (answered - asked) / 2))
    return min(readings, key=lambda clock: clock.uncertainty_s, default=None)


def _connect(session: Session, limits: Limits) -> dict[str, dict[str, str]]:
    """By node, the ids of nodes that it cannot connect to, with the reason."""
    ports = session.ask("a free port", limits.start_s, lambda _, probe: probe.listen.remote())
    nodes = session.answering
    targets: dict[str, dict[str, tuple[str, int]]] = {}
    for index, node in enumerate(nodes):
        peers = [nodes[peer] for peer in peers_of(index, len(nodes))]
        targets[node.id] = {peer.id: (peer.address, ports[peer.id]) for peer in peers}
    return session.ask(
        "connections to others",
        limits.start_s,
        lambda node, probe: probe.connect.remote(targets[node.id], limits.connect_s),
    )


def _exchange(session: Session, run_folder: Path, limits: Limits) -> dict[str, str | None]:
    """By node, why it does not share the run folder with this process; None if it does."""
    with _exchange_folder(run_folder) as (folder, token):
        problems = session.ask(
            str(run_folder),
            limits.start_s,
            lambda node, probe: probe.exchange.remote(str(folder), node.id, token),
        )
        # By their names: a listing of a network file system can be old.
        seen = {node: _contains(folder / node, token) for node in problems}
    unseen = f"what it writes to {run_folder} is not seen by the driver"
    return {node: problem or (None if seen[node] else unseen) for node, problem in problems.items()}


def _contains(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text() == text


@contextlib.contextmanager
def _exchange_folder(run_folder: Path) -> Iterator[tuple[Path, str]]:
    """A folder in the run folder with a file of the driver, and what that contains; removed afterwards."""
    created = not run_folder.exists()
    usable_folder(run_folder)
    token = secrets.token_hex(16)
    folder = run_folder / f".doctor-{token}"
    folder.mkdir()
    try:
        (folder / DRIVER_FILE).write_text(token)
        yield folder, token
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if created:
            with contextlib.suppress(OSError):  # something else is in it by now
                run_folder.rmdir()


def _facts(session: Session, request: Request, run_folder: Path, limits: Limits) -> dict[str, NodeFacts]:
    libraries = list(request.libraries)

    def call(_: object, probe: Any) -> Any:
        return probe.facts.remote(libraries, str(run_folder), request.data)

    answers = session.ask("its machine", limits.facts_s, call)
    fields = TypeAdapter(NodeFacts)
    return {node: fields.validate_python(answer) for node, answer in answers.items()}
