"""Bundles with a motion condition, and subject motion beside a dataset, without measuring any."""

from pathlib import Path

import pyarrow as pa
import torch

from models.bundle import BundleOrigin, write_bundle
from models.motion import MotionCalibration
from models.network.parameter_names import public_shapes
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from tests.support.small_stages import small_sets
from training.config import config_hash, resolve

MOTION = "model.unet.motion_condition=true"
# Clips move by half as much as the network is given, and by less and less where it is much.
CALIBRATION = MotionCalibration(
    given=(0.2, 0.8, 3.2), measured=(0.1, 0.4, 0.8), error=0.1, doubling_error=0.05, clips=4, steps=2
)


def with_motion(dataset: Dataset, courses: list[list[float] | None], method: str = "m") -> None:
    """Subject motion of each clip's eighths of a second, percent of the short side a second."""
    column = pa.array(courses, pa.list_(pa.float32()))
    write_column(dataset, "subject_motion_course", column, {"dataset": dataset.digest, "method": method})


def conditioned_bundle(
    folder: Path, stage: int = 3, calibration: MotionCalibration | None = None, scale: float = 0.02
) -> Path:
    """A bundle with random weights, of a network with a motion condition."""
    config = resolve(stage, "tiny", [*small_sets(stage), MOTION])
    torch.manual_seed(0)
    weights = {key: scale * torch.randn(shape) for key, shape in public_shapes(config.model).items()}
    origin = BundleOrigin(
        architecture=config.model.model_copy(update={"motion_calibration": calibration}),
        stage=stage,
        preset="tiny",
        config_hash=config_hash(config),
        dataset_digest=None,
        parent=None,
        sampling=config.validation.sampling,
    )
    write_bundle(folder, weights, origin, model_card="# A network\n")
    return folder
