"""Starting the processes of a training run."""

from orchestration.launch.ray_train import RayTrainLauncher

__all__ = ["RayTrainLauncher"]
