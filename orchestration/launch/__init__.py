"""Starting the processes of a training run."""

from orchestration.launch.launchers import LauncherName, prepare_launch

__all__ = ["LauncherName", "prepare_launch"]
