"""Which frozen parts are on the network's device; "meta" is another device than the CPU."""

import pytest

from models.animator import Animator
from models.frozen_parts import move, on_device, place_for_training
from tests.support.small_animator import small_animator, small_architecture


@pytest.fixture
def animator() -> Animator:
    return small_animator(small_architecture())


def devices(animator: Animator) -> dict[str, str]:
    """Of each part, by name; parts that are on several have a name with both."""
    parts: dict[str, set[str]] = {}
    named = (*animator.named_parameters(), *animator.named_buffers())
    for name, tensor in named:
        head, _, rest = name.partition(".")
        part = head if head != "encoders" else "image tower" if ".visual." in f".{rest}" else "text tower"
        parts.setdefault(part, set()).add(tensor.device.type)
    return {part: " and ".join(sorted(found)) for part, found in parts.items()}


def test_training_begins_without_codec_and_text_tower_on_the_device(animator):
    place_for_training(animator, "meta")
    assert devices(animator) == {
        "network": "meta",
        "diffusion": "meta",
        "image tower": "meta",
        "codec": "cpu",
        "text tower": "cpu",
    }


def test_parts_are_taken_to_the_device_for_a_while_and_nothing_is_copied_back(animator):
    place_for_training(animator, "meta")
    before = dict(animator.encoders.named_parameters()) | dict(animator.codec.named_buffers())
    with on_device(animator, "text tower"):
        assert devices(animator)["text tower"] == "meta" and devices(animator)["codec"] == "cpu"
    with pytest.raises(KeyError), on_device(animator):
        assert set(devices(animator).values()) == {"meta"}
        raise KeyError
    after = dict(animator.encoders.named_parameters()) | dict(animator.codec.named_buffers())
    assert before and all(after[name] is value for name, value in before.items())


def test_a_part_that_is_moved_stays(animator):
    place_for_training(animator, "meta")
    move(animator, "codec", "meta")
    with on_device(animator):
        pass
    assert devices(animator)["codec"] == "meta" and devices(animator)["text tower"] == "cpu"
