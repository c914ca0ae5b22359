"""Real training on a GPU, with every ZeRO stage and precision, through DeepSpeed and NCCL."""

import math

import pytest

from tests.support.training_jobs import run_stage, small_config, write_config
from training.journal import curves

GPU = ("launch.workers=1", "launch.gpus_per_worker=1")


def trained(workers, folder, config, run="run", **options):
    path = write_config(config, folder / f"{run}.yaml")
    return workers.run(run_stage, path, str(folder / run), options)[0]


@pytest.mark.parametrize(
    ("zero_stage", "precision"),
    [(0, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"), (2, "autocast-bf16"), (1, "fp16")],
)
def test_a_stage_trains_with_the_losses_of_the_cpu(on_gpu, on_cpu, tmp_path, zero_stage, precision):
    same = ("model.unet.dropout=0", "train.image_batches=0")
    sets = [f"train.zero_stage={zero_stage}", f"train.precision={precision}", *same]
    gpu = trained(on_gpu, tmp_path, small_config(0, *sets, *GPU), "gpu")["losses"]
    cpu = trained(on_cpu, tmp_path, small_config(0, "train.zero_stage=0", *same), "cpu")
    assert all(math.isfinite(loss) for loss in gpu.values())
    tolerance = 1e-3 if precision == "fp32" else 2e-2
    assert gpu == pytest.approx(cpu["losses"], rel=tolerance)


OPTIMIZER, PARAMETERS = "train.offload_optimizer=true", "train.offload_parameters=true"


@pytest.mark.parametrize(
    ("zero_stage", "precision", "offload"),
    [
        (0, "fp32", ()),
        (1, "bf16", ()),
        (2, "bf16", ()),
        (3, "bf16", ()),
        (2, "fp16", (OPTIMIZER,)),
        (3, "bf16", (OPTIMIZER, PARAMETERS)),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(on_gpu, tmp_path, zero_stage, precision, offload):
    sets = [f"train.zero_stage={zero_stage}", f"train.precision={precision}", "train.checkpoint_every=2"]
    sets += [*offload, "train.image_batches=0"]
    config = small_config(0, *sets, "train.steps=4", "train.ema_decay=0.9", *GPU)
    whole = trained(on_gpu, tmp_path, config, "whole")["losses"]
    with pytest.raises(Exception, match="at step 3"):
        trained(on_gpu, tmp_path, config, "broken", stop_after=3)
    resumed = trained(on_gpu, tmp_path, config, "broken")
    assert resumed["resumed_from"] == 2
    assert resumed["losses"] == {
        str(k) if isinstance(next(iter(whole)), str) else k: whole[k] for k in (3, 4)
    }


def test_another_stage_with_offload_continues_a_checkpoint(on_gpu, tmp_path):
    same = ("train.precision=bf16", "train.checkpoint_every=2", "train.image_batches=0", *GPU)
    config = small_config(0, *same, "train.zero_stage=2", "train.steps=4")
    whole = trained(on_gpu, tmp_path, config, "whole")["losses"]
    with pytest.raises(Exception, match="at step 3"):
        trained(on_gpu, tmp_path, config, "changed", stop_after=3)
    other = small_config(0, *same, "train.zero_stage=3", OPTIMIZER, PARAMETERS, "train.steps=4")
    changed = trained(on_gpu, tmp_path, other, "changed")
    assert changed["resumed_from"] == 2
    assert list(changed["losses"].values()) == pytest.approx(list(whole.values())[2:], abs=1e-3)


def test_the_stages_follow_each_other(on_gpu, tmp_path):
    for stage in range(4):
        sets = [f"init.base={tmp_path / 'stage-0' / 'bundle'}"] if stage in (1, 2) else []
        sets += [f"init.parent={tmp_path / f'stage-{stage - 1}' / 'bundle'}"] if stage in (2, 3) else []
        sets += ["train.precision=bf16", "validation.every=3", "validation.loss_every=3", "train.steps=3"]
        result = trained(on_gpu, tmp_path, small_config(stage, *sets, *GPU), f"stage-{stage}")
        assert all(math.isfinite(loss) for loss in result["losses"].values())
        assert (tmp_path / f"stage-{stage}" / "bundle" / "bundle.json").exists()
        found = curves(tmp_path / f"stage-{stage}" / "journal.jsonl")
        assert found["validation/loss"][-1][0] == 3 and math.isfinite(found["validation/loss"][-1][1])
        assert all(peak > 2**20 for _, peak in found["memory/peak_bytes"])
