"""What to do after the demo: commands with the paths of this run, whole, so that they can be copied."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from orchestration.demo.animated_pictures import Animations
from orchestration.demo.figures import Figures
from orchestration.demo.outputs import DemoOutputs
from orchestration.workspace import display_path

MLFLOW_ADDRESS = "http://127.0.0.1:5000"
_EXAMPLE = "a red ball moves left"


@dataclass(frozen=True)
class NextCommand:
    """A command and what it does."""

    purpose: str
    command: str


def next_commands(outputs: DemoOutputs, figures: Figures, animations: Animations | None) -> list[NextCommand]:
    """In the order of a newcomer's interest. What needs a champion is left out where there is none."""
    commands: list[NextCommand] = []
    champion = figures.gate is not None and figures.gate.outcome == "PASS"
    steered = [clip for clip in animations.clips if clip.expected] if animations else []
    if figures.trainings and steered:
        picture = display_path(outputs.out / steered[0].picture)
        bundle = "" if champion else f" BUNDLE={shlex.quote(display_path(figures.trainings[-1].bundle))}"
        prompt = steered[-1].prompt.rsplit(" ", 1)[-1]
        sentence = f"{steered[0].prompt.rsplit(' ', 1)[0]} {prompt}"
        commands.append(
            NextCommand(
                "Animate a picture of this run, or any other",
                f'make animate IMAGE={shlex.quote(picture)} PROMPT="{sentence}"{bundle}',
            )
        )
    commands.append(
        NextCommand("Put your own picture on this page", f'{_demo(outputs)} IMAGE=my.png PROMPT="{_EXAMPLE}"')
    )
    if champion:
        commands.append(NextCommand("Serve the champion over HTTP, with a page in the browser", "make serve"))
    commands.append(NextCommand("See every loss, rate and sample video in MLflow", mlflow_command(outputs)))
    commands.append(
        NextCommand(
            "Turn your own videos into a dataset",
            "make data DATA=table.csv VIDEOS=folder OUT=runs/mine PRESET=512",
        )
    )
    commands.append(
        NextCommand(
            "Train on it at real size: lists what is missing, if anything is",
            "make train STAGE=1 PRESET=512 DATA=runs/mine",
        )
    )
    return commands


def mlflow_command(outputs: DemoOutputs) -> str:
    """Serves the training runs of this workspace at :data:`MLFLOW_ADDRESS`."""
    store = f"sqlite:///{display_path(outputs.root / 'mlflow.db')}"
    return f".venv/bin/mlflow ui --backend-store-uri {shlex.quote(store)}"


def mlflow_page(run_id: str) -> str:
    """URL of a run's page, while :func:`mlflow_command` runs."""
    return f"{MLFLOW_ADDRESS}/#/runs/{run_id}"


def _demo(outputs: DemoOutputs) -> str:
    usual = outputs.out.resolve() == (outputs.root / "demo").resolve()
    return "make demo" if usual else f"make demo OUT={shlex.quote(display_path(outputs.out))}"
