"""Which parameters a stage trains.

Names are the network's own ("unet.…", "context.…").
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from core.errors import AnimaticError
from models.network.parameter_names import is_image_attention, is_temporal
from models.public_keys import is_adapter_key
from training.config import RunConfig
from training.stages import STAGES, Kind

_GUIDANCE = "unet.guidance_embedding."


def kind_of(name: str) -> Kind:
    """The kind that a parameter belongs to.

    Raises ValueError for a name that belongs to none, or to several.
    """
    of_unet = name.startswith("unet.")
    matches: dict[Kind, bool] = {
        "context": name.startswith("context."),
        "image attention": of_unet and is_image_attention(name),
        "temporal": of_unet and is_temporal(name),
        "spatial": of_unet and not (is_image_attention(name) or is_temporal(name)),
    }
    kinds = [kind for kind, matched in matches.items() if matched]
    if len(kinds) != 1:
        raise ValueError(f"parameter {name} matches {kinds or 'no'} rule, exactly one is needed")
    return kinds[0]


def trainable_names(config: RunConfig, names: Sequence[str]) -> list[str]:
    """Which of a network's parameter ``names`` the stage trains, in their order.

    With an adapter those of its matrices, which are among the names, in place of the stage's own set; of a
    student, the embedding of guidance too.

    Raises AnimaticError when a glob of ``train.trainable`` matches nothing.
    """
    globs = config.train.trainable or []
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            raise AnimaticError(
                f"train.trainable: {glob!r} matches no parameter; names begin with unet. or context."
            )
    return [
        name for name in names if _of_stage(config, name) or any(fnmatchcase(name, glob) for glob in globs)
    ]


def _of_stage(config: RunConfig, name: str) -> bool:
    """Whether a parameter is trained without being named by a glob."""
    if config.train.adapter is not None:
        return is_adapter_key(name) or (STAGES[config.stage].distils and name.startswith(_GUIDANCE))
    return kind_of(name) in STAGES[config.stage].trains
