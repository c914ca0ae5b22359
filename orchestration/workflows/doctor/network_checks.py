"""Whether nodes reach one another, the run folder and the data, and agree about time and interfaces."""

from __future__ import annotations

from collections.abc import Iterable

from orchestration.workflows.doctor.checks import (
    Check,
    Named,
    all_pass,
    answering,
    by_node,
    listed,
    node_names,
    values,
)
from pipelines.cluster.probe import ClusterFacts

MOST_SKEW_S = 1.0
# Whose value names interfaces, and RDMA devices.
_INTERFACE_VARIABLES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
_RDMA_VARIABLE = "NCCL_IB_HCA"


def network_checks(cluster: ClusterFacts) -> list[Check]:
    """Ports, clocks, shared folder, store and the settings of NCCL."""
    nodes = answering(cluster)
    checks = [_ports(cluster), _clocks(cluster), _run_folder(cluster)]
    if cluster.data is not None:
        checks.append(_store(cluster.data, nodes))
    return [*checks, *_network_variables(nodes), _interfaces(nodes), *_rdma(nodes)]


def silent_nodes(cluster: ClusterFacts) -> Check:
    """Whether every node answered."""
    names = node_names([each.node for each in cluster.nodes])
    problems = {names[each.node.id]: each.silent for each in cluster.nodes if each.silent is not None}
    good = f"all {len(cluster.nodes)} answered" if len(cluster.nodes) > 1 else "the one node answered"
    fix = "look at Ray's logs there, restart Ray on it, or remove it"
    return all_pass("nodes", problems, good, fix)


def _ports(cluster: ClusterFacts) -> Check:
    names = node_names([each.node for each in cluster.nodes])
    problems = {
        names[each.node.id]: "cannot connect to "
        + ", ".join(f"{names[peer]} ({reason})" for peer, reason in each.unreachable.items())
        for each in cluster.nodes
        if each.unreachable
    }
    fix = "allow all TCP ports between the cluster's nodes in firewalls, security groups and NetworkPolicies"
    several = "nodes connect to one another at free ports" if len(cluster.nodes) > 1 else "a single node"
    return all_pass("ports", problems, several, fix)


def _clocks(cluster: ClusterFacts) -> Check:
    """A reading is wrong by at most half the time that it took."""
    names = node_names([each.node for each in cluster.nodes])
    problems, most = {}, 0.0
    for each in cluster.nodes:
        if each.clock is None:
            continue
        certain = abs(each.clock.ahead_s) - each.clock.uncertainty_s
        most = max(most, abs(each.clock.ahead_s))
        if certain > MOST_SKEW_S:
            direction = "ahead of" if each.clock.ahead_s > 0 else "behind"
            problems[names[each.node.id]] = f"{abs(each.clock.ahead_s):.1f} s {direction} the driver"
    fix = "synchronise clocks, as with chrony: leases and signed requests expire by them"
    return all_pass("clocks", problems, f"within {most:.3f} s of the driver's", fix, needed=False)


def _run_folder(cluster: ClusterFacts) -> Check:
    names = node_names([each.node for each in cluster.nodes])
    problems = {
        names[each.node.id]: each.run_folder_problem for each in cluster.nodes if each.run_folder_problem
    }
    good = f"{cluster.run_folder} is shared by the driver and all nodes"
    fix = "set ANIMATIC_RUNS to a folder on a file system that is mounted at the same path everywhere"
    return all_pass("run folder", problems, good, fix)


def _store(data: str, nodes: list[Named]) -> Check:
    problems = {node.name: node.facts.store_problem for node in nodes if node.facts.store_problem}
    fix = "give Ray's processes there the credentials and the network of that store"
    return all_pass("data", problems, f"{data} is read from every node", fix)


def _network_variables(nodes: list[Named]) -> list[Check]:
    """A variable that is set on any node should have one value; on nodes with GPUs, if there are some."""
    used = [node for node in nodes if node.node.gpus] or nodes
    variables = sorted({name for node in used for name in node.facts.environment})
    return [_network_variable(name, used) for name in variables]


def _network_variable(name: str, nodes: list[Named]) -> Check:
    found = values(nodes, lambda node: node.facts.environment.get(name, "unset"))
    if len(found) == 1:
        return Check(name, True, by_node(found), needed=False)
    return Check(name, False, f"{by_node(found)}: set it for Ray on every node, or on none", needed=False)


def _interfaces(nodes: list[Named]) -> Check:
    """Whether each node has an interface that its variables name."""
    problems = {}
    for node in nodes:
        for variable in _INTERFACE_VARIABLES:
            value = node.facts.environment.get(variable)
            if value and not _names_any(value, node.facts.interfaces, exact=variable.startswith("GLOO")):
                problems[node.name] = f"{variable}={value}, but it has {', '.join(node.facts.interfaces)}"
    good = (
        by_node(values(nodes, lambda node: ", ".join(node.facts.interfaces))) if nodes else "no node answered"
    )
    fix = "name an interface that exists, or a prefix of it, or unset the variable"
    return all_pass("interfaces", problems, good, fix)


def _rdma(nodes: list[Named]) -> list[Check]:
    """Of nodes with RDMA devices, or with a variable that names them; nothing for others."""
    used = [node for node in nodes if node.facts.rdma or _RDMA_VARIABLE in node.facts.environment]
    if not used:
        return []
    problems = {node.name: problem for node in used if (problem := _rdma_problem(node))}
    good = by_node(values(used, lambda node: ", ".join(device.name for device in node.facts.rdma)))
    fix = "request RDMA devices for its container and let it lock memory (IPC_LOCK, ulimit -l unlimited)"
    return [all_pass("rdma", problems, good, f"{fix}; NCCL uses the slower TCP otherwise", needed=False)]


def _rdma_problem(node: Named) -> str | None:
    devices = [device.name for device in node.facts.rdma]
    value = node.facts.environment.get(_RDMA_VARIABLE)
    if value and not _names_any(value, devices, exact=False):
        return f"{_RDMA_VARIABLE}={value}, but it has {listed(devices) or 'no device'}"
    if not any(device.active for device in node.facts.rdma):
        return "no port is active"
    locked = node.facts.locked_bytes
    return None if locked is None else f"a process may lock {locked >> 10} KiB of memory"


def _names_any(value: str, present: Iterable[str], *, exact: bool) -> bool:
    """Whether a value in NCCL's form selects any of what is present.

    The form: names or prefixes, separated by commas; ``=`` before them: exact names; ``^``: all but these; a
    device may be followed by ``:port``.
    """
    excluded, value = value.startswith("^"), value.removeprefix("^")
    exact, value = exact or value.startswith("="), value.removeprefix("=")
    wanted = [name.partition(":")[0].strip() for name in value.split(",") if name.strip()]

    def is_named(name: str) -> bool:
        return any(name == each if exact else name.startswith(each) for each in wanted)

    return any(is_named(name) != excluded for name in present)
