"""Who sees what: which clips are compared, in which order, and at which side, from a seed alone.

Every pair of systems appears equally often in what a rater sees, every comparison about equally often over
all raters, and at alternating sides. Names on the page are keyed digests: without ``key.json`` nothing
connects two clips of one system.
"""

import hashlib
import hmac
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from pipelines.evaluate.records import ClipRow
from pipelines.evaluate.study.attention import CHECKED, DAMAGES
from pipelines.evaluate.study.records import AttentionPair, Comparison, Task

DEFAULT_PAIRS = 30  # of one rater: about ten minutes
_ID_DIGITS, _CODE_DIGITS = 16, 6


@dataclass(frozen=True)
class StudySettings:
    """How large a study is.

    ``pairs``: comparisons that each rater sees, None for ``DEFAULT_PAIRS`` or all there are; ``raters``:
    codes to give out; ``attention``: attention pairs, which each rater sees besides.
    """

    pairs: int | None = None
    raters: int = 20
    seed: int = 0
    attention: int = 4


@dataclass(frozen=True)
class Names:
    """Names that only the holder of ``secret`` can connect to what they name.

    They begin with a letter, so that no spreadsheet takes one for a number or a date.
    """

    secret: bytes

    @classmethod
    def of(cls, reports: Sequence[str], settings: StudySettings) -> "Names":
        """Those of a study of the reports with these digests."""
        parts = [list(reports), settings.pairs, settings.raters, settings.seed, settings.attention]
        return cls(hashlib.sha256(canonical_json(parts)).digest())

    @property
    def study(self) -> str:
        """The id of the study."""
        return self._name("s", "study")

    def clip(self, source: str, key: str) -> str:
        """The id of a clip; ``source`` is a report's digest, or names what was done to a real clip."""
        return self._name("c", "clip", source, key)

    def picture(self, key: str) -> str:
        """The id of a clip's condition frame."""
        return self._name("i", "picture", key)

    def pair(self, first: str, second: str) -> str:
        """The id of a pair of clips."""
        return self._name("p", "pair", *sorted((first, second)))

    def rater(self, number: int) -> str:
        """The code of a rater, as r07-4b1d9e: a mistyped one is none of the study's."""
        return f"r{number:02d}-{self._digest('rater', str(number))[:_CODE_DIGITS]}"

    def generator(self, purpose: str) -> random.Random:
        """A generator of random numbers of its own for each purpose."""
        return random.Random(self._digest("random", purpose))

    def _name(self, prefix: str, *parts: str) -> str:
        return prefix + self._digest(*parts)[:_ID_DIGITS]

    def _digest(self, *parts: str) -> str:
        return hmac.new(self.secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def comparisons(names: Names, systems: Sequence[str], keys: Sequence[str]) -> list[Comparison]:
    """All comparisons of two of the systems (digests of their reports) on one clip, in an order of which each
    run of ``k`` has every pair of systems as often, within one, and as many different clips as possible."""
    rivals = list(itertools.combinations(systems, 2))
    orders = []
    for first, second in rivals:
        order = list(keys)
        names.generator(f"clips {first} {second}").shuffle(order)
        orders.append(order)
    listed: list[Comparison] = []
    for turn in range(len(keys)):
        for (first, second), order in zip(rivals, orders, strict=True):
            key = order[turn]
            files = [names.clip(first, key), names.clip(second, key)]
            pair = names.pair(*files)
            listed.append({"pair": pair, "key": key, "first": first, "second": second, "files": files})
    return listed


def attention_pairs(names: Names, clips: Sequence[ClipRow], count: int) -> list[AttentionPair]:
    """``count`` pairs of a real clip and a damaged one, of each damage in turn.

    Other pictures are of another source video and, where there is one, another caption. Raises AnimaticError
    if there are too few clips: each pair needs one of its own, and one of another source.
    """
    order = sorted(clips, key=lambda clip: clip["key"])
    names.generator("attention").shuffle(order)
    if count > len(order) or (count and len({clip["source"] for clip in order}) < 2):
        raise AnimaticError(
            f"{count} attention pairs need {count} clips, from two or more source videos; the reports have "
            f"{len(order)}: pass a smaller --attention, or evaluate more clips"
        )
    listed: list[AttentionPair] = []
    for number, clip in enumerate(order[:count]):
        key, damage = clip["key"], DAMAGES[number % len(DAMAGES)]
        other = key if damage == "flashing" else _other(clip, [*order[number + 1 :], *order[:number]])
        files = [names.clip("real", key), names.clip(damage, f"{key}\0{other}")]
        pair, checked = names.pair(*files), list(CHECKED[damage])
        listed.append(
            {"pair": pair, "key": key, "other": other, "damage": damage, "files": files, "checked": checked}
        )
    return listed


def _other(clip: ClipRow, candidates: Sequence[ClipRow]) -> str:
    """The key of a clip with another picture: the first of another source and caption, or of another
    source."""
    strangers = [each for each in candidates if each["source"] != clip["source"]]
    return next((each for each in strangers if each["caption"] != clip["caption"]), strangers[0])["key"]


def schedule(
    names: Names, compared: Sequence[Comparison], attention: Sequence[AttentionPair], settings: StudySettings
) -> dict[str, list[Task]]:
    """The tasks of each rater, in order.

    Raters take successive runs of the comparisons, from the beginning again after the last. Attention pairs
    are spread: one in each of as many equal parts of a rater's tasks. Raises AnimaticError if a rater would
    see more comparisons than there are.
    """
    pairs = min(DEFAULT_PAIRS, len(compared)) if settings.pairs is None else settings.pairs
    if pairs > len(compared):
        raise AnimaticError(
            f"{pairs} pairs for each rater, but the reports give {len(compared)}: pass a smaller --pairs"
        )
    successive = itertools.cycle(compared)
    turns: dict[str, int] = {}
    tasks = {}
    for number in range(1, settings.raters + 1):
        code = names.rater(number)
        generator = names.generator(code)
        own = [_opposite(names, each, turns) for each in itertools.islice(successive, pairs)]
        generator.shuffle(own)
        tasks[code] = _spread(own, _balanced(attention, generator), generator)
    return tasks


def _opposite(names: Names, compared: Comparison, turns: dict[str, int]) -> Task:
    """A comparison at the sides opposite to those of the rater before who saw it; the first sides are
    drawn."""
    pair = compared["pair"]
    turn = turns[pair] = turns.get(pair, names.generator(f"side {pair}").randrange(2)) + 1
    return _task(pair, compared["files"], swapped=turn % 2 == 0)


def _balanced(attention: Sequence[AttentionPair], generator: random.Random) -> list[Task]:
    """The attention pairs in a random order, the real clip at the left in every second one."""
    order, turn = list(attention), generator.randrange(2)
    generator.shuffle(order)
    return [
        _task(each["pair"], each["files"], swapped=(turn + number) % 2 == 0)
        for number, each in enumerate(order)
    ]


def _task(pair: str, files: Sequence[str], swapped: bool) -> Task:
    a, b = reversed(files) if swapped else files
    return {"pair": pair, "a": a, "b": b}


def _spread(own: Sequence[Task], hidden: Sequence[Task], generator: random.Random) -> list[Task]:
    """``hidden`` inserted into ``own``: one at a random position of each of as many equal parts."""
    merged: list[Task] = []
    for part, task in enumerate(hidden):
        start, end = part * len(own) // len(hidden), (part + 1) * len(own) // len(hidden)
        tasks = list(own[start:end])
        tasks.insert(generator.randint(0, len(tasks)), task)
        merged += tasks
    return merged if hidden else list(own)
