"""A teacher and its student at the smallest size, and clips to learn from."""

import copy

import torch

from models.animator import Animator
from models.architecture import Architecture
from models.batch import Batch
from models.student import StudentConfig
from tests.support.small_animator import small_animator, small_architecture
from training.objectives.teacher import Teacher


def guided_architecture(student: StudentConfig | None) -> Architecture:
    """With detail guidance, and the embedding of a ``student``."""
    small = small_architecture()
    unet = small.unet.model_copy(update={"detail_guidance": True, "guidance_embedding": student is not None})
    return small.model_copy(update={"unet": unet, "student": student})


def teacher_and_student(config: StudentConfig) -> tuple[Animator, Animator, Teacher]:
    """A network with drawn weights; one that has them too, and a new embedding; the first as a teacher."""
    first = small_animator(guided_architecture(None))
    student = Animator(guided_architecture(config))
    student.network.load_state_dict(first.network.state_dict(), strict=False)
    return first, student, Teacher(copy.deepcopy(first.network), config, None)


def clips() -> Batch:
    """Three."""
    generator = torch.Generator().manual_seed(0)
    return Batch(
        pixels=torch.randint(0, 256, (3, 3, 3, 8, 8), generator=generator, dtype=torch.uint8),
        captions=["a red ball moves left", "a blue star moves up", "a black square"],
        fps=torch.tensor([4.0, 6.0, 4.0]),
        condition_index=torch.tensor([0, 2, 1]),
        drop_text=torch.zeros(3, dtype=torch.bool),
        drop_image=torch.zeros(3, dtype=torch.bool),
        seed=torch.tensor([11, 12, 13]),
        keys=["a", "b", "c"],
    )
