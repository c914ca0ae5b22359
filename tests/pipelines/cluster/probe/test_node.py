"""What a node finds out about itself and its peers."""

import os
import socket
import stat
import sys

import psutil
import pytest

from pipelines.cluster.probe import Gpu, RdmaDevice, code_digest, read_store, software_here
from pipelines.cluster.probe.cluster import peers_of
from pipelines.cluster.probe.gpus import driver_gpus, has_gpu_device, torch_gpus
from pipelines.cluster.probe.machine import (
    disk_of,
    interfaces,
    memory_bytes,
    network_environment,
    rdma_devices,
)
from pipelines.cluster.probe.node import NodeProbe


def test_nodes_connect_to_ports_that_listen_and_name_those_that_do_not():
    listening, probe = NodeProbe(), NodeProbe()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        peers = {"open": ("127.0.0.1", listening.listen()), "closed": bound.getsockname()}
        assert probe.connect(peers, 5) == {"closed": "Connection refused"}


def test_files_are_exchanged_in_a_shared_folder_only(tmp_path):
    (tmp_path / "driver").write_text("token")
    probe = NodeProbe()
    assert probe.exchange(str(tmp_path), "node", "token") is None
    assert (tmp_path / "node").read_text() == "token"
    missing = tmp_path / "runs" / "exchange"
    assert probe.exchange(str(missing), "node", "token") == (
        f"it does not see what the driver writes to {tmp_path / 'runs'}"
    )
    assert "contains another file there" in str(probe.exchange(str(tmp_path), "node", "other"))


def test_all_nodes_of_a_small_cluster_are_connected_and_all_of_a_large_one_reached():
    assert [peers_of(index, 3) for index in range(3)] == [[1, 2], [2, 0], [0, 1]]
    peers = [peers_of(index, 100) for index in range(100)]
    assert max(map(len, peers)) == 9
    assert all(0 in each for each in peers[1:])
    assert {peer for each in peers for peer in each} == set(range(100))
    assert all(index not in each for index, each in enumerate(peers))


def test_interfaces_and_rdma_devices_are_those_of_the_kernel(tmp_path):
    for name, port, state in (("mlx5_0", 1, "1: DOWN"), ("mlx5_0", 2, "4: ACTIVE"), ("mlx5_1", 1, "1: DOWN")):
        folder = tmp_path / name / "ports" / str(port)
        folder.mkdir(parents=True)
        (folder / "state").write_text(f"{state}\n")
    assert rdma_devices(tmp_path) == [RdmaDevice("mlx5_0", active=True), RdmaDevice("mlx5_1", active=False)]
    assert interfaces(tmp_path) == ["mlx5_0", "mlx5_1"]
    assert rdma_devices(tmp_path / "missing") == []


def test_memory_is_at_most_the_limit_of_the_container(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("pipelines.cluster.probe.machine._MEMORY_LIMITS", (str(limit), "/missing"))
    machine = memory_bytes()
    assert machine == psutil.virtual_memory().total
    limit.write_text("max\n")
    assert memory_bytes() == machine
    limit.write_text(f"{1 << 20}\n")
    assert memory_bytes() == 1 << 20


def test_the_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    disk = disk_of(str(tmp_path / "a" / "b"))
    assert disk.total_bytes == disk_of(str(tmp_path)).total_bytes
    assert disk.free_bytes is not None and 0 < disk.free_bytes <= (disk.total_bytes or 0)


def test_only_variables_of_the_network_are_reported(monkeypatch):
    for name in ("NCCL_DEBUG", "GLOO_SOCKET_IFNAME", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    assert network_environment().keys() >= {"NCCL_DEBUG", "GLOO_SOCKET_IFNAME"}
    assert "AWS_SECRET_ACCESS_KEY" not in network_environment()


def test_gpus_of_the_driver(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'NVIDIA H100 80GB HBM3, 570.86.15\\nNVIDIA A100, 570.86.15\\n'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert driver_gpus() == [Gpu("NVIDIA H100 80GB HBM3", "570.86.15"), Gpu("NVIDIA A100", "570.86.15")]
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert driver_gpus() == []


def test_why_torch_uses_no_gpu_is_reported(tmp_path, monkeypatch):
    """With a torch that finds two GPUs, the second of which fails."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "import types\n"
        "names = ['A', 'B']\n"
        "cuda = types.SimpleNamespace(device_count=lambda: 2, get_device_name=lambda i: names[i])\n"
        "def ones(_, device):\n"
        "    if device == 'cuda:1': raise RuntimeError('CUDA error: no kernel image\\nlong text')\n"
        "    return types.SimpleNamespace(sum=lambda: types.SimpleNamespace(item=lambda: 8.0))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert torch_gpus() == (["A"], "CUDA error: no kernel image")
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libcudart.so is missing')\n")
    assert torch_gpus() == ([], "ImportError: libcudart.so is missing")


def test_devices_of_gpus(tmp_path):
    assert not has_gpu_device(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_gpu_device(tmp_path)


def test_versions_are_of_what_is_installed():
    found = software_here(["ray", "no-such-library"])
    assert found.libraries["ray"] and found.libraries["no-such-library"] is None
    assert found.python == ".".join(map(str, sys.version_info[:3]))


def test_the_digest_of_the_code_changes_with_any_module(tmp_path):
    preset = tmp_path / "training" / "presets" / "tiny.yaml"
    for file in (tmp_path / "core" / "files.py", preset):
        file.parent.mkdir(parents=True)
        file.write_text("a: 1\n")

    def digest() -> str:
        return code_digest([tmp_path / "core", tmp_path / "training"])

    first = digest()
    (tmp_path / "core" / "files.pyc").touch()
    assert digest() == first
    preset.write_text("a: 2\n")
    assert digest() != first
    preset.write_text("a: 1\n")
    assert digest() == first
    preset.rename(preset.with_name("256.yaml"))
    assert digest() != first


@pytest.mark.parametrize("name", ["data", "data/", "data/table.csv"])
def test_data_that_can_be_read(tmp_path, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.csv").touch()
    assert read_store(f"{tmp_path}/{name}") is None


@pytest.mark.parametrize("name", ["missing", "missing/table.csv", "data/other.csv"])
def test_data_that_does_not_exist(tmp_path, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.csv").touch()
    assert read_store(f"{tmp_path}/{name}") == "nothing is there"


def test_data_of_an_unknown_kind():
    assert "cannot be opened" in str(read_store("nostore://bucket/data"))
