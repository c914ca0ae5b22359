"""A student that trains an adapter: its base is its teacher, and its bundle has what was trained."""

import pytest
import torch

from models.bundle import merge_adapter, open_bundle
from models.public_keys import is_adapter_key
from orchestration.planner.sizes import sizes_of
from tests.support.adapters import adapter_config, write_adapter, write_base
from tests.support.training_jobs import FEWER_LAYERS, SyntheticSource, small_config
from training.clock import StepClock
from training.initialisation import initialise
from training.objectives import build_objective, load_teacher
from training.objectives.consistency import ConsistencyDistillation
from training.objectives.distillation import GuidanceDistillation
from training.trainable import trainable_names

GUIDANCE = {f"unet.guidance_embedding.{name}" for name in ("0.weight", "0.bias", "2.weight", "2.bias")}
CONSISTENCY = (
    "objective.kind=consistency",
    "model.student.points=10",
    "validation.sampling={solver: consistency, eta: 1.0, steps: 4}",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "bundle"
    write_base(folder)
    return folder


def test_the_embedding_of_guidance_is_trained_whole_beside_the_matrices(base):
    config = adapter_config(base, stage=4)
    _, start = initialise(config)
    names = set(trainable_names(config, list(start.transfers)))
    assert {name for name in names if not is_adapter_key(name)} == GUIDANCE
    assert any("temporal" in name for name in names)
    assert not any(
        "guidance" in name for name in trainable_names(adapter_config(base), list(start.transfers))
    )


@pytest.mark.parametrize("of_student", [False, True])
def test_the_teacher_is_the_base_whatever_the_student_learns(base, tmp_path, of_student):
    """Exactly what a network of its own would predict, of a parent of stage 3 and of a student."""
    parent, sets = base, ("train.trainable=['unet.conv_in.*']",)
    if of_student:
        parent, sets = write_adapter(tmp_path / "first", base, stage=4), CONSISTENCY
    config = adapter_config(parent, *sets, stage=4)
    animator, start = initialise(config)
    network = animator.network.train()
    objective = build_objective(config, animator, StepClock())
    assert type(objective) is (ConsistencyDistillation if of_student else GuidanceDistillation)
    with torch.no_grad():
        for name in trainable_names(config, list(start.transfers)):
            network.get_parameter(name).add_(0.1)
    whole = small_config(4, *FEWER_LAYERS, f"init.parent={parent}", *sets)
    lesson = objective._lesson(SyntheticSource(config).first(2), 10)
    given = (lesson.inputs(lesson.noise), lesson.steps + 500, lesson.conditions, lesson.scales)
    own = load_teacher(whole, network)
    expected = own.predict(*given, temporal=True)
    assert torch.equal(objective._teacher.predict(*given, temporal=True), expected)
    # The student goes on as it was: its dropout and its adapter are on, its own weights in place.
    assert network.training and own.network is not network
    network.eval()
    changed = objective._predict(lesson, lesson.noise, lesson.steps + 500, temporal=True)
    assert not torch.allclose(changed, expected, atol=1e-2)
    held = sum(tensor.numel() for tensor in objective._teacher.tensors)
    assert 0 < held < sum(tensor.numel() for tensor in own.tensors) / 10


def test_a_student_learns_from_its_own_base(base):
    config = adapter_config(base, "model.unet.dropout=0", "train.adapter.rank=8", stage=4)
    animator, start = initialise(config)
    network = animator.network.train()
    objective = build_objective(config, animator, StepClock())
    chosen = set(trainable_names(config, list(start.transfers)))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    batch, losses = SyntheticSource(config).first(2), []
    for _ in range(12):
        optimizer.zero_grad()
        loss = objective(batch, temporal=True).mean
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_bundle_is_the_adapters_and_merges_into_a_whole_student(base, tmp_path):
    folder = write_adapter(tmp_path / "run", base, stage=4)
    student = open_bundle(folder)
    whole = {key for key in student.stored_state() if not is_adapter_key(key)}
    assert {key.rsplit("diffusion_model.")[-1] for key in whole} == {name[5:] for name in GUIDANCE}
    assert student.base.info.architecture.student is None
    assert student.info.architecture.student is not None
    merge_adapter(student, tmp_path / "merged")
    merged, expected = open_bundle(tmp_path / "merged"), student.state()
    assert merged.info.adapter is None and merged.info.architecture == student.info.architecture
    assert all(torch.equal(value, expected[key]) for key, value in merged.state().items())
    assert student.animator().network.unet.guidance_embedding is not None


def test_a_plan_counts_no_second_network_for_the_teacher():
    """What it keeps of the teacher is the embedding of guidance as it began."""
    small = [*FEWER_LAYERS, "init.parent=anywhere"]
    adapted = sizes_of(small_config(4, *small, "train.adapter.rank=2"))
    whole = sizes_of(small_config(4, *small))
    embedding = whole.network_total - whole.teacher
    assert (adapted.teacher, adapted.teacher_bytes) == (embedding, 4)
    assert whole.frozen_models_bytes - adapted.frozen_models_bytes == 4 * (whole.teacher - embedding)
    half = sizes_of(small_config(4, *small, "train.adapter.rank=2", "train.precision=bf16"))
    assert half.teacher_bytes == 2
