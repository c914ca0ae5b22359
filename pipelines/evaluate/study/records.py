"""What a preference study stores: ``key.json``, which the raters must not see, and ``study.json``, its
result."""

from typing import Literal, get_args

from pydantic import ConfigDict, with_config

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

from pipelines.evaluate.records import ProtocolRecord

KEY_FORMAT: Literal[1] = 1
STUDY_FORMAT: Literal[1] = 1
# The questions of DynamiCrafter's user study (arXiv:2310.12190, section 4.2).
Question = Literal["coherence", "motion", "conformity"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
Answer = Literal["A", "B", "equal"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
Damage = Literal["scrambled-other", "flashing", "frozen-other"]

_EXACT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@with_config(_EXACT)
class StudySystem(TypedDict):
    """A compared system: as its report names it, and the digest of that report."""

    name: str
    kind: str
    digest: str
    report: str


@with_config(_EXACT)
class Comparison(TypedDict):
    """Two systems' clips for one picture; ``files`` are the ids of the clips of ``first`` and ``second``,
    which are digests of reports; ``key`` is that of the held-out clip."""

    pair: str
    key: str
    first: str
    second: str
    files: list[str]


@with_config(_EXACT)
class AttentionPair(TypedDict):
    """A real clip and a damaged one, see :mod:`pipelines.evaluate.study.attention`.

    ``files``: the ids of the real one and of the damaged one; ``other``: the key of the clip that the damaged
    one was made from; ``checked``: the questions whose answer must be the real one.
    """

    pair: str
    key: str
    other: str
    damage: Damage
    files: list[str]
    checked: list[Question]


@with_config(_EXACT)
class Task(TypedDict):
    """What a rater sees at one step: a pair, and the ids of the clips at the left (A) and the right (B)."""

    pair: str
    a: str
    b: str


@with_config(_EXACT)
class StudyKey(TypedDict):
    """Content of ``key.json``: what every name of the page means, and what each rater sees, in order.

    ``study`` is the id that the page and the answers contain; ``raters`` are the tasks by rater's code;
    ``digest`` is the sha256 of the canonical JSON of everything else.
    """

    format: Literal[1]
    study: str
    seed: int
    protocol: ProtocolRecord
    systems: list[StudySystem]
    comparisons: list[Comparison]
    attention: list[AttentionPair]
    raters: dict[str, list[Task]]
    digest: str


@with_config(_EXACT)
class Rate(TypedDict):
    """A share of ``n`` votes of ``raters`` raters, with its 95 % interval; None with too few raters for
    one."""

    value: float
    low: float | None
    high: float | None
    n: int
    raters: int


@with_config(_EXACT)
class PairResult(TypedDict):
    """Votes on one question between two systems, which are named by the digests of their reports.

    ``wins`` are votes for ``first``, ``losses`` for ``second``. ``win_rate`` counts a tie as half a win;
    ``preference`` leaves ties out, and is None if all votes are ties.
    """

    first: str
    second: str
    question: Question
    wins: int
    ties: int
    losses: int
    win_rate: Rate
    preference: Rate | None


@with_config(_EXACT)
class Strength(TypedDict):
    """A system's strength in the Bradley-Terry model with ties: a log, of mean 0 over the systems.

    The interval is of 95 %, robust to the dependence of one rater's votes; None with too few raters.
    """

    value: float
    low: float | None
    high: float | None


@with_config(_EXACT)
class SystemResult(TypedDict):
    """How one system did on one question: ``selection`` is the share of votes that chose it, of those on its
    clips; ``rank`` is by ``strength``, 1 the best."""

    system: str
    question: Question
    selection: Rate
    strength: Strength
    rank: int


@with_config(_EXACT)
class RaterResult(TypedDict):
    """A rater: checked answers of attention pairs, how many were right, and whether the votes were counted.

    ``median_seconds``: of all pairs; None if the browser stored no times.
    """

    rater: str
    checked: int
    right: int
    counted: bool
    median_seconds: float | None


@with_config(_EXACT)
class StudyResult(TypedDict):
    """Content of ``study.json``.

    ``votes``: counted answers, attention pairs left out; ``raters``: all who answered; ``agreement``:
    Krippendorff's alpha by question, None where no pair has two votes or all votes are the same;
    ``methods``: how each figure was computed. ``digest`` is the sha256 of the canonical JSON of the rest.
    """

    format: Literal[1]
    study: str
    protocol: ProtocolRecord
    systems: list[StudySystem]
    raters: list[RaterResult]
    votes: int
    pairs: list[PairResult]
    results: list[SystemResult]
    agreement: dict[Question, float | None]
    methods: dict[str, str]
    digest: str
