"""The bundles that a stage starts from."""

from pathlib import Path

from core.errors import AnimaticError
from models import PRIOR
from models.bundle import Bundle, open_bundle
from training.config import RunConfig
from training.stages import STAGES


def parent_stage(config: RunConfig) -> int | None:
    """The stage whose bundle ``init.parent`` must name; None when the stage needs no parent."""
    if config.stage == 2 and config.ablation.no_context:
        return None
    if config.stage == 3 and config.ablation.one_stage:
        return None if config.ablation.no_context else 1
    return STAGES[config.stage].parent


def needs_base(config: RunConfig) -> bool:
    """Whether ``init.base`` must be set."""
    return config.stage in (1, 2) or (config.stage == 3 and config.ablation.one_stage)


def open_source_bundles(config: RunConfig, *, verify: bool = True) -> tuple[Bundle | None, Bundle | None]:
    """The bundles (base, parent) that the stage starts from; None where it uses none.

    Args:
        verify: False leaves the digests of the weights unchecked, for looking at shapes only.

    Raises AnimaticError when one is needed and not set, missing, tampered, or of another stage.
    """
    return _open_base(config, verify), _open_parent(config, verify)


def _open_base(config: RunConfig, verify: bool) -> Bundle | None:
    stage = STAGES[config.stage]
    name = config.init.base
    if name is None:
        if needs_base(config):
            raise AnimaticError(
                f"stage {stage.number} ({stage.name}) needs init.base, a bundle of "
                f"{stage.base or 'VideoCrafter2'}: --set init.base=FOLDER "
                "(preset tiny: init.base=prior, which ships)"
            )
        return None
    if not needs_base(config) and config.stage != 0:
        return None
    return open_bundle(PRIOR if name == "prior" else Path(name), verify=verify)


def _open_parent(config: RunConfig, verify: bool) -> Bundle | None:
    wanted = parent_stage(config)
    if wanted is None:
        return None
    if config.init.parent is None:
        raise AnimaticError(
            f"stage {config.stage} ({STAGES[config.stage].name}) needs the bundle of stage {wanted}: "
            f"train it with `animatic train --stage {wanted} --preset {config.preset}`, or name one with "
            "--set init.parent=FOLDER"
        )
    bundle = open_bundle(Path(config.init.parent), verify=verify)
    # A finished network may be trained on: the released code's recipe for the published weights.
    accepted = {wanted, config.stage} if config.stage == 3 and not config.ablation.one_stage else {wanted}
    if bundle.info.stage not in accepted:
        raise AnimaticError(
            f"init.parent {config.init.parent} is a bundle of stage {bundle.info.stage}, but stage "
            f"{config.stage} continues stage {wanted}"
        )
    return bundle
