"""Whether a parent bundle can teach the network of a run that distils. Imports no torch."""

import yaml

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.bundle import Bundle
from models.student import StudentConfig
from training.config import RunConfig


def check_teacher(config: RunConfig, parent: Bundle) -> None:
    """Raise AnimaticError where the parent cannot be the teacher of the run's network.

    It predicts something else or has other inputs, was distilled for fewer scales of guidance, or for
    consistency, which leaves nothing to predict between.
    """
    ours, theirs = config.model, parent.info.architecture
    if ours.diffusion != theirs.diffusion:
        raise AnimaticError(
            f"init.parent {parent.folder} was trained with another model.diffusion than this run's: a "
            f"student predicts what its teacher does; --set 'model.diffusion={_in_yaml(theirs.diffusion)}'"
        )
    if ours.unet.motion_condition != theirs.unet.motion_condition:
        raise AnimaticError(
            f"init.parent {parent.folder} was trained {_with(theirs.unet.motion_condition)} motion "
            "condition, and a student learns what its teacher can: "
            f"--set model.unet.motion_condition={_in_yaml(theirs.unet.motion_condition)}"
        )
    if ours.unet.detail_guidance != theirs.unet.detail_guidance:
        raise AnimaticError(
            f"init.parent {parent.folder} was trained {_with(theirs.unet.detail_guidance)} detail guidance, "
            "and a student has the inputs of its teacher: "
            f"--set ablation.no_detail_guidance={_in_yaml(not theirs.unet.detail_guidance)}"
        )
    if theirs.student is not None and ours.student is not None:
        _check_student(parent, theirs.student, ours.student)


def _check_student(parent: Bundle, theirs: StudentConfig, ours: StudentConfig) -> None:
    if theirs.points is not None:
        raise AnimaticError(
            f"init.parent {parent.folder} is a student of consistency, which has no steps between which "
            f"another one could learn: name its own teacher, bundle {str(parent.info.parent)[:12]}"
        )
    if not theirs.covers(ours):
        fitting = theirs.model_copy(update={"points": ours.points})
        raise AnimaticError(
            f"init.parent {parent.folder} was distilled with {_in_yaml(theirs)}, which does not include this "
            f"run's model.student: choose scales within, as --set 'model.student={_in_yaml(fitting)}'"
        )


def _with(present: bool) -> str:
    return "with" if present else "without"


def _in_yaml(value: StudentConfig | DiffusionConfig | bool) -> str:
    """On one line, as ``--set`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return yaml.safe_dump(value.model_dump(mode="json"), default_flow_style=True, width=1000).strip()
