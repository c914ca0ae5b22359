"""The bundles that a stage starts from."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from core.errors import AnimaticError
from models import PRIOR
from models.bundle import Bundle, open_bundle
from training.config import RunConfig
from training.initialisation.teacher_bundle import check_teacher
from training.stages import STAGES, Stage


class SourceBundles(NamedTuple):
    """The opened bundles that a stage starts from; None where it uses none."""

    base: Bundle | None
    parent: Bundle | None

    @property
    def continued(self) -> Bundle | None:
        """The one that the stage's own bundle names as its parent."""
        return self.parent or self.base


def configured_stage(config: RunConfig) -> Stage:
    """The run's stage, with its ablations."""
    ablation = config.ablation
    stage = STAGES[config.stage].ablated(
        no_context=ablation.no_context, one_stage=ablation.one_stage, joint=ablation.joint
    )
    if starts_condition_from_base(config) and stage.base is None:
        return replace(stage, base="a network with detail guidance")
    return stage


def starts_condition_from_base(config: RunConfig) -> bool:
    """Whether the first convolution's weights for the condition's latent are those of the base."""
    stage = STAGES[config.stage]
    added = stage.detail_guidance and not stage.distils and config.model.unet.detail_guidance
    return added and config.train.condition_from_base


def parent_stage(config: RunConfig) -> int | None:
    """The stage whose bundle ``init.parent`` must name; None when the run needs no parent."""
    return configured_stage(config).parent


def open_source_bundles(
    config: RunConfig, *, verify: bool = True, opening: Callable[[Path], Bundle] | None = None
) -> SourceBundles:
    """Open the bundles that the stage starts from.

    Args:
        verify: False leaves the digests of the weights unchecked, where only shapes are read.
        opening: opens the bundles that are named, in place of :func:`models.bundle.open_bundle`; as one does
            that requires a signature.

    Raises AnimaticError when one is needed and not set, missing, tampered with, of another stage, or a parent
    that cannot teach a network that distils it.
    """
    shipped = partial(open_bundle, verify=verify)
    opening = opening or shipped
    # The prior is part of this code: to trust the one is to trust the other, without a signature.
    base = _open_base(config, shipped if config.init.base == "prior" else opening)
    return SourceBundles(base, _open_parent(config, opening))


def _open_base(config: RunConfig, opening: Callable[[Path], Bundle]) -> Bundle | None:
    stage, name = configured_stage(config), config.init.base
    if not stage.uses_base:
        return None
    if name is not None:
        return opening(PRIOR if name == "prior" else Path(name))
    if not stage.base_optional:
        raise AnimaticError(
            f"stage {stage.number} ({stage.name}) needs init.base, a bundle of {stage.base}: "
            "--set init.base=FOLDER (preset tiny: init.base=prior, which is included)"
        )
    return None


def _open_parent(config: RunConfig, opening: Callable[[Path], Bundle]) -> Bundle | None:
    stage = configured_stage(config)
    if stage.parent is None:
        return None
    if config.init.parent is None:
        raise AnimaticError(
            f"stage {stage.number} ({stage.name}) needs the bundle of stage {stage.parent}: "
            f"train it with `animatic train --stage {stage.parent} --preset {config.preset}`, or name one "
            "with --set init.parent=FOLDER"
        )
    bundle = opening(Path(config.init.parent))
    if bundle.info.stage not in stage.parents:
        raise AnimaticError(
            f"init.parent {config.init.parent} is a bundle of stage {bundle.info.stage}, but stage "
            f"{stage.number} continues stage {stage.parent}"
        )
    if stage.distils:
        check_teacher(config, bundle)
    return bundle
