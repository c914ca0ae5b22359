"""A distilled network: its guidance embedding, and the single pass that it is sampled in."""

import pytest
import torch

from core.errors import AnimaticError
from models.animate import animate
from models.animator import Animator
from models.architecture import Architecture
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.checkpoints import export_checkpoint
from models.diffusion.settings import SamplingSettings
from models.network.network import network_on_meta
from models.network.parameter_names import public_names, public_state
from models.student import StudentConfig
from tests.support.small_animator import small_animator, small_architecture

EMBEDDING = "model.diffusion_model.guidance_embedding."
SETTINGS = SamplingSettings(steps=2, eta=0, text_guidance=3.0)


def distilled(student: StudentConfig | None = None) -> Architecture:
    small = small_architecture()
    unet = small.unet.model_copy(update={"guidance_embedding": True, "detail_guidance": True})
    student = student or StudentConfig(text_guidance=(1, 4))
    return Architecture.model_validate(dict(small) | {"unet": unet, "student": student})


@pytest.fixture(scope="module")
def student() -> Animator:
    return small_animator(distilled())


def clip(animator: Animator, **changes) -> torch.Tensor:
    image = torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)
    return animate(animator, image, ["a ball"], SETTINGS.model_copy(update=changes))


def test_the_embedding_adds_four_tensors_and_changes_no_other_name():
    plain = distilled().model_copy(update={"student": None})
    plain = plain.model_copy(update={"unet": plain.unet.model_copy(update={"guidance_embedding": False})})
    before = public_names(network_on_meta(plain))
    after = public_names(network_on_meta(distilled()))
    added = {EMBEDDING + name for name in ("0.weight", "0.bias", "2.weight", "2.bias")}
    assert {name: after[name] for name in before} == before
    assert set(after.values()) - set(before.values()) == added
    assert "guidance_embedding" not in plain.model_dump_json() and "student" not in plain.model_dump_json()


def test_a_new_embedding_has_no_effect():
    torch.manual_seed(0)
    network = Animator(distilled()).network.unet.eval()
    torch.nn.init.normal_(network.conv_out.weight)
    inputs = torch.randn(2, 8, 3, 4, 4), torch.tensor([5, 600]), torch.randn(2, 7, 32), torch.randn(2, 4, 32)
    strong = network(*inputs, guidance=torch.tensor([[3.0, 7.0], [9.0, 1.0]]))
    assert strong.abs().max() > 0
    torch.testing.assert_close(strong, network(*inputs), rtol=0, atol=0)


def test_without_guidance_the_scales_are_one_and_each_sample_has_its_own(student):
    network = student.network.unet
    inputs = torch.randn(2, 8, 3, 4, 4), torch.tensor([5, 600]), torch.randn(2, 7, 32), torch.randn(2, 4, 32)
    plain = network(*inputs)
    torch.testing.assert_close(network(*inputs, guidance=torch.ones(2, 2)), plain, rtol=0, atol=0)
    for scales in ([[1.0, 1.0], [2.0, 1.0]], [[1.0, 1.0], [1.0, 2.0]]):
        one = network(*inputs, guidance=torch.tensor(scales))
        torch.testing.assert_close(one[0], plain[0])
        assert not torch.allclose(one[1], plain[1])


def test_a_step_of_a_distilled_network_is_one_pass_whatever_the_guidance(student, monkeypatch):
    unet, seen = student.network.unet, []
    forward = unet.forward

    def counting(latents, *args, conditions, guidance, **named):
        seen.append((len(latents) * conditions, guidance.tolist()))
        return forward(latents, *args, conditions=conditions, guidance=guidance, **named)

    monkeypatch.setattr(unet, "forward", counting)
    clip(student)
    assert seen == [(1, [[3.0, 3.0]])] * 2
    assert not torch.equal(clip(student), clip(student, text_guidance=1.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_guidance": 7.5}, "text_guidance 7.5: this network was distilled for 1 to 4"),
        ({"text_guidance": 0.5}, "for 1 to 4"),
        ({"image_guidance": 2.0}, "one scale for text and image: leave it out"),
        ({"guidance_every": 2}, "a distilled network needs none: leave them out"),
        ({"guidance_interval": (0.0, 0.5)}, "a distilled network needs none: leave them out"),
        ({"guidance_rescale": 0.7}, "guidance_rescale 0.7: this network was distilled with 0: set that"),
    ],
)
def test_guidance_that_was_not_trained_is_refused(student, changes, message):
    with pytest.raises(AnimaticError, match=message):
        clip(student, **changes)


def test_an_image_scale_equal_to_that_of_the_text_is_the_same_guidance(student):
    assert torch.equal(clip(student), clip(student, image_guidance=3.0))


def test_two_scales_have_ranges_of_their_own():
    both = small_animator(distilled(StudentConfig(text_guidance=(1, 4), image_guidance=(1, 2))))
    assert not torch.equal(clip(both, image_guidance=1.5), clip(both, image_guidance=2.0))
    with pytest.raises(AnimaticError, match="image_guidance 3: this network was distilled for 1 to 2"):
        clip(both)  # without a scale of its own, the image has the text's


@pytest.mark.parametrize("scales", [(4, 1), (-1, 2), (float("nan"), 1), (1, float("inf"))])
def test_a_range_that_is_none_is_refused(scales):
    with pytest.raises(ValueError):
        StudentConfig(text_guidance=scales)


def test_an_embedding_and_its_ranges_belong_together():
    with pytest.raises(ValueError, match="guidance_embedding needs student"):
        Architecture.model_validate(dict(distilled()) | {"student": None})


def test_a_published_layout_has_no_guidance_embedding_and_the_message_names_the_other(tmp_path):
    architecture = distilled()
    origin = BundleOrigin(
        architecture=architecture, stage=4, preset="x", config_hash="", dataset_digest=None, parent=None
    )
    network = Animator(architecture).network
    write_bundle(tmp_path / "bundle", public_state(network), origin, model_card="# student\n")
    with pytest.raises(AnimaticError, match=r"is distilled: .* export its teacher, or use --as diffusers"):
        export_checkpoint(open_bundle(tmp_path / "bundle"), tmp_path / "student.ckpt")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 50])
def test_a_student_of_consistency_is_sampled_at_the_points_that_it_was_trained_at(monkeypatch, steps):
    consistent, seen = small_animator(distilled(StudentConfig(points=50))), []
    unet = consistent.network.unet
    forward = unet.forward

    def seeing(latents, timesteps, *args, **named):
        seen.append(int(timesteps[0]))
        return forward(latents, timesteps, *args, **named)

    monkeypatch.setattr(unet, "forward", seeing)
    clip(consistent, solver="consistency", eta=1.0, steps=steps)
    assert len(set(seen)) == steps and seen[0] == 999 and seen == sorted(seen, reverse=True)
    assert set(seen) <= set(range(19, 1000, 20))
