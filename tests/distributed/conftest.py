"""Two processes shared by all tests that need them, and the stages trained once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process_group import Workers
from tests.support.training_jobs import run_stage, small_config, write_config
from training.config import RunConfig


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Two processes in one gloo group."""
    with Workers(2, tmp_path_factory.mktemp("pair")) as workers:
        yield workers


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """One process, a group of its own."""
    with Workers(1, tmp_path_factory.mktemp("alone")) as workers:
        yield workers


@dataclass(frozen=True)
class TrainedStage:
    """A stage as two processes trained it."""

    config: RunConfig
    run_dir: Path
    losses: dict[int, float]

    @property
    def bundle(self) -> Path:
        return self.run_dir / "bundle"


@pytest.fixture(scope="session")
def train_in_pair(pair, tmp_path_factory):
    """Train a configuration in two processes -> TrainedStage."""

    def train(config: RunConfig, run_dir: Path | None = None, **options) -> TrainedStage:
        run_dir = run_dir or tmp_path_factory.mktemp(f"stage-{config.stage}")
        path = write_config(config, tmp_path_factory.mktemp("config") / "config.yaml")
        outcomes = pair.run(run_stage, path, str(run_dir), options)
        assert outcomes[0] == outcomes[1], "ranks disagree"
        return TrainedStage(config, run_dir, outcomes[0]["losses"])

    return train


@pytest.fixture(scope="session")
def recipe(train_in_pair) -> dict[int, TrainedStage]:
    """Stages 0 to 3, each from the bundle before, with the presets' ZeRO stages."""
    stages: dict[int, TrainedStage] = {}
    for stage in range(4):
        sets = []
        if stage in (1, 2):
            sets.append(f"init.base={stages[0].bundle}")
        if stage in (2, 3):
            sets.append(f"init.parent={stages[stage - 1].bundle}")
        stages[stage] = train_in_pair(small_config(stage, *sets))
    return stages
