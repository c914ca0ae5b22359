"""A bundle of an adapter from promotion to the machine that serves it: its base goes with it."""

import shutil

import pytest
import torch

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.export import read_export
from orchestration.lineage import collect_lineage
from orchestration.signatures import open_trusted, private_key, sign_bundle
from orchestration.workflows.merging import MergeOptions, merge
from orchestration.workspace import Workspace
from tests.support.adapters import write_adapter, write_base
from tests.support.exports import export_to, manifest_of
from tests.support.promotions import promote
from tests.support.signing_keys import key_pair


def test_a_promoted_adapter_is_signed_exported_and_read_elsewhere(tmp_path, monkeypatch):
    write_base(tmp_path / "base")
    adapter = write_adapter(tmp_path / "run", tmp_path / "base")
    wanted = dict(open_bundle(adapter).animator().network.named_parameters())
    pair = key_pair(tmp_path / "keys")
    sign_bundle(open_bundle(adapter), private_key(pair.private, None))
    workspace = Workspace(tmp_path / "runs")
    promote(workspace.ledger, open_bundle(adapter))
    result = export_to(tmp_path / "store", workspace)
    assert manifest_of(result).parts["base"] == "parts/base"
    # Neither is on the machine that serves.
    shutil.rmtree(tmp_path / "base")
    shutil.rmtree(tmp_path / "run")
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(pair.public))
    exported = read_export(str(tmp_path / "store"), "champion", to=tmp_path / "cache")
    found = dict(exported.animator().network.named_parameters())
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


def test_merge_finds_bundles_by_name_and_refuses_another_base(tmp_path):
    write_base(tmp_path / "base")
    write_base(tmp_path / "other", 3, torch.float32, "seed=1")
    adapter = write_adapter(tmp_path / "run", tmp_path / "base")
    workspace = Workspace(tmp_path / "runs")
    promote(workspace.ledger, open_bundle(adapter))
    merged = merge(MergeOptions("champion", precision="bf16"), workspace)
    assert merged.folder == adapter.with_name("bundle-merged").resolve()
    bundle = open_trusted(merged.folder)
    assert {value.dtype for value in bundle.state().values()} == {torch.bfloat16}
    # No run wrote it: it was computed from the two, of which each has its own file of weights.
    graph = collect_lineage(bundle, workspace)
    sources = {node.digest: node for node in graph.sources(f"bundle:{bundle.id}")}
    assert sources.keys() == {merged.adapter.id, merged.base.id}
    assert {node.state for node in sources.values()} == {"verified"}
    files = [(merged.adapter, "adapter.safetensors"), (merged.base, "model.safetensors")]
    weights = {each.info.files[name][:12] for each, name in files}
    assert {node.fact("weights") for node in sources.values()} == weights
    with pytest.raises(AnimaticError, match="was trained on"):
        merge(MergeOptions(str(adapter), str(tmp_path / "other"), tmp_path / "no"), workspace)
    assert not (tmp_path / "no").exists()
