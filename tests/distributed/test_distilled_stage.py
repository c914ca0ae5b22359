"""Stage 4 in several processes: the teacher is whole in each, and the run continues exactly."""

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.diffusion.settings import SamplingSettings
from models.network.parameter_names import public_state
from tests.support.process_group import WorkerError
from tests.support.training_jobs import FEWER_LAYERS, SyntheticSource, run_stage, small_config, write_config
from training.clock import StepClock
from training.config import RunConfig
from training.initialisation import initialise
from training.journal import curves
from training.objectives import build_objective

SETTINGS = (*FEWER_LAYERS, "train.steps=4", "train.checkpoint_every=2", "model.unet.dropout=0")


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """The bundle of a network of stage 3 with drawn weights."""
    config, folder = small_config(3, *SETTINGS), tmp_path_factory.mktemp("teacher") / "bundle"
    torch.manual_seed(0)
    network = Animator(config.model).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    origin = BundleOrigin(
        architecture=config.model, stage=3, preset="tiny", config_hash="", dataset_digest=None, parent=None
    )
    write_bundle(folder, public_state(network), origin, model_card="# test\n")
    return folder


def config_of(teacher, *sets: str) -> RunConfig:
    return small_config(4, *SETTINGS, f"init.parent={teacher}", *sets)


def losses(run_dir):
    return [loss for _, loss in curves(run_dir / "journal.jsonl")["train/loss"]]


def test_a_new_student_has_its_teachers_weights_and_an_embedding_of_zeros(teacher):
    _, start = initialise(config_of(teacher))
    added = {name for name, origin in start.origins.items() if origin == "new"}
    assert added == {
        f"unet.guidance_embedding.{name}" for name in ("0.weight", "0.bias", "2.weight", "2.bias")
    }
    assert not start.weights["unet.guidance_embedding.2.weight"].any()
    before = open_bundle(teacher).state()
    assert all(
        torch.equal(before[transfer.key], start.weights[name])
        for name, transfer in start.transfers.items()
        if name not in added
    )


def test_a_teacher_that_predicts_something_else_is_refused(teacher):
    with pytest.raises(AnimaticError, match=r"another model\.diffusion .*base_scale: null"):
        initialise(config_of(teacher, "model.diffusion.base_scale=0.5"))


def test_a_student_is_a_teacher_of_guidance_that_it_has_learnt(teacher, alone, tmp_path):
    """Where it learns what it is taught by itself, the loss is zero at first; wider ranges are refused."""
    first = config_of(teacher, "train.steps=1", "optimizer.schedule=constant")
    alone.run(run_stage, write_config(first, tmp_path / "first.yaml"), str(tmp_path / "first"), {})
    student = open_bundle(tmp_path / "first" / "bundle")
    assert student.info.stage == 4 and student.info.architecture.student.text_guidance == (1, 4)
    again = config_of(tmp_path / "first" / "bundle", "model.student.text_guidance=[1, 3]")
    animator, _ = initialise(again)
    objective = build_objective(again, animator.eval(), StepClock())
    assert objective(SyntheticSource(again).first(2), temporal=True).mean.item() < 1e-8
    wider = config_of(tmp_path / "first" / "bundle", "model.student.text_guidance=[1, 9]")
    with pytest.raises(AnimaticError, match="does not include"):
        initialise(wider)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sets", [["train.zero_stage=1"], ["train.zero_stage=3"], ["train.zero_stage=2", "train.adapter.rank=2"]]
)
def test_two_processes_train_the_student_of_one_and_continue_it_exactly(teacher, pair, alone, tmp_path, sets):
    config = config_of(teacher, *sets)
    path = write_config(config, tmp_path / "config.yaml")
    runs = {name: tmp_path / name for name in ("whole", "resumed", "alone")}
    pair.run(run_stage, path, str(runs["whole"]), {})
    with pytest.raises(WorkerError, match="at step 3"):
        pair.run(run_stage, path, str(runs["resumed"]), {"stop_after": 3})
    assert pair.run(run_stage, path, str(runs["resumed"]), {})[0]["resumed_from"] == 2
    alone.run(run_stage, path, str(runs["alone"]), {})
    whole, resumed = (open_bundle(runs[name] / "bundle") for name in ("whole", "resumed"))
    assert losses(runs["whole"]) == losses(runs["resumed"])
    assert losses(runs["alone"]) == pytest.approx(losses(runs["whole"]), rel=1e-3)
    expected = whole.state()
    assert all(torch.equal(expected[key], value) for key, value in resumed.state().items())
    assert expected["model.diffusion_model.guidance_embedding.2.weight"].any()
    assert whole.info.parent == open_bundle(teacher).id
    assert whole.info.sampling == SamplingSettings.model_validate(config.validation.sampling)
