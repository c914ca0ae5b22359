"""What a bundle must have to be given an alias."""

from __future__ import annotations

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.registry.history import History

# Bundles of the stages before it lack temporal layers, or draw single images.
FIRST_ANIMATING_STAGE = 2


def check_in_use(history: History, bundle_id: str, doing: str) -> None:
    """Raise AnimaticError for a bundle that was withdrawn from use; ``doing``: as "promoted"."""
    entry = history.withdrawn(bundle_id)
    if entry is not None:
        raise AnimaticError(
            f"bundle {bundle_id[:12]} was withdrawn from use by {entry.actor} at {entry.time} ({entry.note}) "
            f"and cannot be {doing}: use another bundle (`animatic registry` lists them)"
        )


def check_animates(bundle: Bundle, codec: str | None = None, encoders: str | None = None) -> None:
    """Raise AnimaticError for a bundle that no picture can be animated with; arguments as of
    :func:`check_complete`."""
    info = bundle.info
    if info.stage < FIRST_ANIMATING_STAGE:
        raise AnimaticError(
            f"bundle {bundle.folder} is of stage {info.stage} and cannot animate: name a bundle of stage 3"
        )
    check_complete(bundle, codec, encoders)


def check_complete(bundle: Bundle, codec: str | None = None, encoders: str | None = None) -> None:
    """Raise AnimaticError for a bundle without an autoencoder or encoders, or for unused paths.

    Args:
        codec, encoders: paths of those to use, as of :meth:`models.bundle.Bundle.animator`.
    """
    architecture = bundle.info.architecture
    for option, path, part in (
        ("--codec", codec, architecture.codec),
        ("--encoders", encoders, architecture.encoders),
    ):
        if path is not None and part.kind not in ("vae", "conv", "open_clip"):
            raise AnimaticError(
                f"{option} is without effect: bundle {bundle.folder} computes that part without a file "
                f"(kind {part.kind}); leave the option out"
            )
    missing = bundle.missing_parts(codec, encoders)
    if missing:
        raise AnimaticError(
            f"bundle {bundle.folder} cannot animate, it lacks {' and '.join(missing)}: import a checkpoint "
            "file that contains them, or name others to animate and evaluate with --codec and --encoders"
        )
