"""The public key of every tensor in a checkpoint file: other prefixes and averaged weights are recognised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.errors import AnimaticError
from models import public_keys
from models.checkpoints.checkpoint_file import CheckpointFile

# The frame-rate embedding's name in the first published checkpoint -> its name in all others.
LEGACY = {"model.diffusion_model.framestride_embed.": "model.diffusion_model.fps_embedding."}
# Where latent-diffusion stores the average of ``model.*``: the names without their dots.
AVERAGED = "model_ema."
_AVERAGED_OF = "model."
# A tensor that every network has: what precedes its name in a file precedes the names of all others.
_ANCHOR = "time_embed.0.weight"


@dataclass(frozen=True)
class PublicNames:
    """Public key -> key in the file, and remarks for the user about names that were not public."""

    stored: Mapping[str, str]
    remarks: tuple[str, ...]


def public_names(file: CheckpointFile, known: Iterable[str], *, averaged: bool = False) -> PublicNames:
    """The public keys of a file's tensors; those without one keep their own.

    Args:
        known: public keys of the network, in any variant.
        averaged: take the averaged weights (``model_ema.*``) where the file has both.

    Raises:
        AnimaticError: two tensors have one public key, or averaged weights are asked for and absent.
    """
    renamed, remarks = _with_public_prefix(file)
    averages = _averages(renamed, known)
    if averaged and not averages:
        raise AnimaticError(f"{file.path} has no averaged weights ({AVERAGED}*)")
    only = bool(averages) and not any(key.startswith(public_keys.UNET) for key in renamed)
    if averaged or only:
        why = "asked for" if averaged else "the file has no others"
        remarks = (*remarks, f"the averaged weights ({AVERAGED}*) are imported: {why}")
        kept = {key: name for key, name in renamed.items() if key not in averages}
        renamed = kept | {public: renamed[key] for key, public in averages.items()}
    return PublicNames(renamed, remarks)


def _with_public_prefix(file: CheckpointFile) -> tuple[dict[str, str], tuple[str, ...]]:
    found = _prefix(file)
    stored: dict[str, str] = {}
    for key in file.shapes:
        public = key
        if found is not None and key.startswith(found) and not _is_public(key):
            public = public_keys.UNET + key.removeprefix(found)
        for legacy, name in LEGACY.items():
            if public.startswith(legacy):
                public = name + public.removeprefix(legacy)
        if public in stored:
            raise AnimaticError(
                f"{file.path} has both {stored[public]} and {key}, two names of one tensor: remove one"
            )
        stored[public] = key
    if found is None:
        return stored, ()
    before = f"begin with {found}" if found else "have no prefix"
    return stored, (f"keys of the network {before} in the file, and with {public_keys.UNET} in the bundle",)


def _prefix(file: CheckpointFile) -> str | None:
    """What precedes the network's keys in the file, if it is not the public prefix."""
    prefixes = {key.removesuffix(_ANCHOR) for key in file.shapes if key.endswith(_ANCHOR)}
    if len(prefixes) != 1 or prefixes == {public_keys.UNET}:
        return None
    return prefixes.pop()


def _is_public(key: str) -> bool:
    others = (
        public_keys.QUERY_TRANSFORMER,
        public_keys.AUTOENCODER,
        public_keys.TEXT_ENCODER,
        public_keys.IMAGE_ENCODER,
        AVERAGED,
    )
    return key.startswith(others) or "." not in key


def _averages(stored: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Key of an averaged tensor -> the public key of the tensor that it is the average of."""
    public = {
        AVERAGED + key.removeprefix(_AVERAGED_OF).replace(".", ""): key
        for key in known
        if key.startswith(_AVERAGED_OF)
    }
    return {key: public[key] for key in stored if key in public}
