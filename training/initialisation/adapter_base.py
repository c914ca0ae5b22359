"""What an adapter needs of the bundles that a run starts from: one base, whose weights stay as they are."""

from collections.abc import Mapping

from core.errors import AnimaticError
from training.config import RunConfig
from training.initialisation.source_bundles import SourceBundles, configured_stage
from training.initialisation.tensor_transfer import TensorTransfer
from training.trainable import trainable_names


def check_adapter_base(
    config: RunConfig, sources: SourceBundles, transfers: Mapping[str, TensorTransfer]
) -> None:
    """Raise AnimaticError where a run with an adapter could not be composed of one base bundle and what it
    trains: a bundle of an adapter contains nothing else."""
    if config.train.adapter is None:
        return
    stage = configured_stage(config)
    if len(set(stage.origins.values())) > 1 or sources.continued is None:
        raise AnimaticError(
            f"train.adapter: the weights of stage {stage.number} ({stage.name}) are not those of one bundle, "
            "which an adapter has as its base: train this stage without an adapter, and adapt the bundle of "
            "stage 3 (--stage 3 --set init.parent=FOLDER)"
        )
    trained = set(trainable_names(config, list(transfers)))
    changed = [
        name
        for name, transfer in transfers.items()
        if (transfer.change != "none" or transfer.origin == "new") and name not in trained
    ]
    if changed:
        listed = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise AnimaticError(
            f"train.adapter: {len(changed)} tensors differ from those of the base, and would stay as they "
            f"begin ({listed}): train them whole with train.trainable, or start from a bundle of this network"
        )
