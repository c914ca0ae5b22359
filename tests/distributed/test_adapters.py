"""Runs that train an adapter: frozen weights stay, a resumed run ends alike, the bundle is the adapter's."""

import pytest
import torch

from models.bundle import open_bundle
from models.public_keys import is_adapter_key
from tests.support.adapters import adapter_config, write_base
from tests.support.process_group import WorkerError
from tests.support.training_jobs import run_stage, write_config
from training.checkpoint_export import export_checkpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero_stage", "precision"), [(0, "fp32"), (1, "autocast-bf16"), (2, "bf16"), (2, "fp32")]
)
def test_an_interrupted_run_ends_with_the_same_adapter(alone, tmp_path, zero_stage, precision):
    write_base(tmp_path / "base")
    config = adapter_config(
        tmp_path / "base",
        f"train.zero_stage={zero_stage}",
        f"train.precision={precision}",
        "train.ema_decay=0.9",
        "train.checkpoint_every=1",
        "train.trainable=['unet.conv_out.*']",
        "validation.loss_every=3",
        "validation.loss_clips=1",
    )
    path = write_config(config, tmp_path / "config.yaml")
    whole = alone.run(run_stage, path, str(tmp_path / "whole"))[0]
    with pytest.raises(WorkerError, match="at step 2"):
        alone.run(run_stage, path, str(tmp_path / "parts"), {"stop_after": 2})
    resumed = alone.run(run_stage, path, str(tmp_path / "parts"))[0]
    assert resumed["resumed_from"] == 2 and resumed["losses"][3] == whole["losses"][3]
    bundles = [open_bundle(tmp_path / name / "bundle") for name in ("whole", "parts")]
    states = [bundle.stored_state() for bundle in bundles]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    learned = [value for key, value in states[0].items() if key.endswith("lora_B.weight")]
    assert learned and all(value.any() for value in learned)
    base, composed = open_bundle(tmp_path / "base").state(), bundles[0].state()
    changed = {key for key, value in base.items() if not torch.equal(value, composed[key])}
    adapted = {key.replace(".lora_A.weight", ".weight") for key in states[0]}
    assert changed == {key for key in adapted if not is_adapter_key(key)}
    last = tmp_path / "whole" / "checkpoints" / "step-00000003"
    exported = export_checkpoint(last, tmp_path / "exported")
    same = open_bundle(exported.folder).stored_state()
    assert all(torch.equal(value, same[key]) for key, value in states[0].items())
