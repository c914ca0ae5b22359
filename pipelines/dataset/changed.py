"""Why a shard does not have the expected bytes: was it changed by a job since its records were read?"""

from collections.abc import Sequence

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.latent_records import LATENTS, read_latents_record
from pipelines.dataset.record_files import DamagedRecordError
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.takedowns import read_takedowns


def require_current_shard(folder: Folder, shard: ShardRecord) -> None:
    """Raise AnimaticError if the folder's dataset or latents no longer record ``shard`` as it was read.

    The message names the takedown, if one replaced it.
    """
    for takedown in reversed(read_takedowns(folder)["takedowns"]):
        if {"name": shard["name"], "sha256": shard["sha256"]} in takedown["shards"]:
            raise AnimaticError(
                f"videos of {folder} were taken down on {takedown['date']}, and {shard['name']} was "
                "rewritten: start a new run on the dataset as it is now"
            )
    recorded = _recorded(folder)
    if recorded is not None and shard not in recorded:
        raise AnimaticError(
            f"{folder} was changed since it was opened, and {shard['name']} with it: run the job again"
        )


def _recorded(folder: Folder) -> Sequence[ShardRecord] | None:
    """The shards of a dataset or latents as they are recorded now; None if that cannot be read."""
    try:
        if folder.exists(DATASET):
            return read_dataset_record(folder)["shards"]
        if folder.exists(LATENTS):
            return read_latents_record(folder)["shards"]
    except DamagedRecordError:
        pass
    return None
