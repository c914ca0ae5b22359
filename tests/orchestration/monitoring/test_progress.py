"""Bars on a terminal end finished; a log gets whole lines, also while nothing changes."""

import io
import queue
import re

import pytest
from rich.console import Console

from orchestration.monitoring import TrainingProgress
from orchestration.monitoring.progress import TrainingDisplay, counting


class Lines(io.StringIO):
    """A log: what is written to it can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.written: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self.written.put(text)
        return super().write(text)

    def wait_for(self, pattern: str) -> None:
        while not re.search(pattern, self.written.get(timeout=30)):
            pass


def log() -> tuple[Console, Lines]:
    screen = Lines()
    return Console(file=screen, width=40), screen


def terminal() -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    return Console(file=screen, force_terminal=True, width=120, color_system=None), screen


def last_drawn(screen: io.StringIO) -> str:
    parts = re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", screen.getvalue())
    return [part for part in parts if part.strip()][-1]


def test_a_log_gets_lines_before_the_first_count_between_counts_and_at_the_end() -> None:
    console, screen = log()
    with counting(console, "encode [x]", every_s=0.01) as count:
        screen.wait_for(r"^encode \[x\]: starting, for 0:00:0\d so far$")
        count(3, 8)
        screen.wait_for(r"^encode \[x\]: 3 of 8$")
        screen.wait_for(r"^encode \[x\]: 3 of 8; unchanged for 0:00:0\d$")
        count(5, 8)
        screen.wait_for(r"^encode \[x\]: 5 of 8, 0:00:0\d left$")
        count(8, 8)
    assert screen.getvalue().count("encode [x]: 8 of 8\n") == 1
    assert "\x1b" not in screen.getvalue()


def test_a_log_gets_the_step_the_loss_and_the_speed_of_a_training_run() -> None:
    console, screen = log()
    with TrainingDisplay(console, "stage 3 detail guidance", every_s=0.01) as display:
        display(TrainingProgress(0, 800))
        screen.wait_for("^stage 3 detail guidance: step 0 of 800$")
        display(TrainingProgress(4, 800, resumed=True))
        screen.wait_for("step 4 of 800, resumed")
        display(TrainingProgress(5, 800, loss=0.25, clips_per_s=2.0))
        screen.wait_for(r"step 5 of 800, loss 0.2500  2.0 clips/s, 0:\d\d:\d\d left")
        display(TrainingProgress(800, 800))
    assert ": step 800 of 800, loss 0.2500  2.0 clips/s\n" in screen.getvalue()


@pytest.mark.parametrize("make", [log, terminal])
def test_a_job_that_fails_before_its_first_count_prints_nothing(make) -> None:
    console, screen = make()
    with pytest.raises(ValueError, match="bad"), counting(console, "encode"):
        raise ValueError("bad")
    assert screen.getvalue() == ""


@pytest.mark.parametrize("total", [0, 1, 8])
def test_a_bar_of_finished_work_is_full_and_names_the_time_it_took(total: int) -> None:
    console, screen = terminal()
    with counting(console, "encode") as count:
        count(total, total)
    assert re.fullmatch(rf"encode ━+ {total}/{total}\s+in 0:00:00\s*", last_drawn(screen))
    assert "?" not in re.sub(r"\x1b\[\?", "", screen.getvalue())
    with TrainingDisplay(console, "stage 1") as display:
        display(TrainingProgress(0, 8))
        display(TrainingProgress(8, 8, loss=0.5))
    assert re.search(r"8/8 loss 0.5000\s+in 0:00:00", last_drawn(screen))
