"""Continuing another run from one of its checkpoints with other settings of the optimizer."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from training.checkpoints import MANIFEST, Manifest, find_damage, read_manifest
from training.config import RunConfig, config_hash, load, trajectory_hash
from training.config.identity import differing_settings, trajectory_hash_1
from training.run_folder import RunFolder


@dataclass(frozen=True)
class Continuation:
    """The checkpoint of another run that a run continues.

    Attributes:
        digest: of its manifest.
        config_hash: of the other run.
    """

    path: Path
    manifest: Manifest
    digest: str
    config_hash: str


def find_continuation(config: RunConfig, *, verify: bool = True) -> Continuation | None:
    """The checkpoint that ``init.checkpoint`` names; None where it names none.

    Args:
        verify: False leaves the digests of its files to another process.

    Raises AnimaticError when it is missing or damaged, or its run differs in more than ``optimizer``.
    """
    if config.init.checkpoint is None:
        return None
    path = Path(config.init.checkpoint).resolve()
    damage = find_damage(path, digests=verify)
    if damage is not None:
        raise AnimaticError(f"init.checkpoint {path} cannot be used: {damage}")
    manifest = read_manifest(path)
    earlier = _earlier_config(path, manifest)
    differing = _differences(earlier, config)
    if differing:
        raise AnimaticError(
            f"init.checkpoint {path} is of a run with other settings than this one ({', '.join(differing)}): "
            "only those of `optimizer` may differ"
        )
    if manifest.format == 1 and config.optimizer.kind != "adamw":
        raise AnimaticError(
            f"init.checkpoint {path} is of format 1, whose optimizer state is AdamW's own: continue it with "
            f"optimizer.kind=adamw, and choose {config.optimizer.kind} from its next checkpoint on"
        )
    if manifest.format == 1 and config.optimizer.weight_decay_on != "all":
        raise AnimaticError(
            f"init.checkpoint {path} is of format 1, whose optimizer state is of all parameters together: "
            "continue it with optimizer.weight_decay_on=all, and choose matrices from its next checkpoint on"
        )
    return Continuation(path, manifest, sha256(path / MANIFEST), config_hash(earlier))


def _earlier_config(path: Path, manifest: Manifest) -> RunConfig:
    """The configuration of the run that wrote a checkpoint, which is in its run folder."""
    file = RunFolder(path.parent.parent).config
    earlier = load(file)
    recorded = trajectory_hash_1 if manifest.format == 1 else trajectory_hash
    if recorded(earlier) != manifest.trajectory:
        raise AnimaticError(f"{file} is not the configuration that checkpoint {path} was written with")
    return earlier


def _differences(earlier: RunConfig, config: RunConfig) -> list[str]:
    """Settings outside of ``optimizer`` that decide the weights and differ, at most five."""
    differing = differing_settings(earlier, config)
    return [name for name in differing if not name.startswith("optimizer.")][:5]
