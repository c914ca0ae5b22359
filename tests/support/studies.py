"""Preference studies: reports with clips, and raters whose taste is known."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.study.answers import COLUMNS, RaterAnswers
from pipelines.evaluate.study.records import QUESTIONS, Answer, Question, Rate, StudyKey, StudyResult
from tests.support.evaluations import write_report

FRAMES, FPS = 8, 8.0
HOSTILE = '</script><script>attacked = 1</script><!-- <img src=x onerror="attacked = 1"> & é 红球'
# The digest of the systems that `write_reports` writes.
DIGESTS = {name: character * 64 for name, character in zip(("good", "poor", "worst"), "abc", strict=True)}

# How much better the first system's clip looks to a rater than the second's: (rater, first, second) → log
# odds.
Taste = Callable[[str, str, str], float]


def make_pairs(count: int, noise: float, captions: Mapping[int, str] | None = None) -> list[ClipPair]:
    """Clips of moving shapes, each with a copy that has noise of this deviation, of 255 levels."""
    pairs = []
    for number in range(count):
        scene = draw_scene(1, number)
        pixels = render(scene, FRAMES, 64)
        grain = np.random.default_rng(number).normal(0, noise, pixels.shape)
        generated = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        caption = (captions or {}).get(number, f"a {scene.colour} {scene.shape} moves {scene.direction}")
        clip = RealClip(f"clip-{number}", caption, FPS, pixels, source=f"video-{number}")
        pairs.append(ClipPair(clip, generated))
    return pairs


def write_reports(
    folder: Path,
    count: int = 6,
    systems: Sequence[str] = ("good", "poor"),
    captions: Mapping[int, str] | None = None,
) -> list[Path]:
    """Evaluations of systems, each with more noise than the one before; their reports."""
    paths = []
    for number, name in enumerate(systems):
        pairs = make_pairs(count, 10.0 * number, captions)
        write_report(
            folder / name, pairs, {"name": f"the {name} system", "digest": DIGESTS[name]}, metrics=["flicker"]
        )
        paths.append(folder / name / "report.json")
    return paths


def answers_of(
    key: StudyKey, rater: str, taste: Taste, ties: float = 0.5, attentive: bool = True
) -> RaterAnswers:
    """What a rater answers whose choices follow Davidson's model: ``ties`` is its ν, the odds of a tie
    between equals. One who is not attentive answers at random."""
    generator = random.Random(f"{key['study']} {rater} {attentive}")
    compared = {each["pair"]: each for each in key["comparisons"]}
    real = {each["pair"]: each["files"][0] for each in key["attention"]}
    answers: dict[str, dict] = {}
    for task in key["raters"][rater]:
        pair = task["pair"]
        for question in QUESTIONS:
            choice: Answer = generator.choice(("A", "B", "equal"))
            if attentive and pair in real:
                choice = "A" if task["a"] == real[pair] else "B"
            elif attentive:
                each = compared[pair]
                odds = math.exp(taste(rater, each["first"], each["second"]) / 2)
                first, second = ("A", "B") if task["a"] == each["files"][0] else ("B", "A")
                (choice,) = generator.choices((first, "equal", second), (odds, ties, 1 / odds))  # type: ignore[assignment]
            answers.setdefault(pair, {})[question] = choice
    return RaterAnswers(rater, Path(f"{rater}.csv"), answers, dict.fromkeys(answers, 9000))


def write_answers(folder: Path, key: StudyKey, given: RaterAnswers) -> Path:
    """The file that the page would write."""
    lines = [",".join(COLUMNS)]
    for number, task in enumerate(key["raters"][given.rater], 1):
        for question, answer in given.answers[task["pair"]].items():
            cells = (
                key["study"],
                given.rater,
                number,
                task["pair"],
                task["a"],
                task["b"],
                question,
                answer,
                9000,
            )
            lines.append(",".join(map(str, cells)))
    path = folder / f"answers-{given.rater}.csv"
    folder.mkdir(exist_ok=True)
    path.write_bytes("".join(line + "\r\n" for line in lines).encode())
    return path


def win_rate(result: StudyResult, question: Question, first: str, second: str) -> Rate:
    """The rate of two of the systems of ``DIGESTS``."""
    reports = {system["digest"]: system["report"] for system in result["systems"]}
    wanted = (reports[DIGESTS[first]], reports[DIGESTS[second]], question)
    (found,) = [
        each for each in result["pairs"] if (each["first"], each["second"], each["question"]) == wanted
    ]
    return found["win_rate"]


def prefer_first(rater: str, first: str, second: str) -> float:
    """A taste for the system that is named first in the study."""
    return 1.5
