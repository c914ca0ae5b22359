"""The page of a preference study: one HTML file, which needs no network."""

from collections.abc import Mapping

from core.pages import page_environment
from pipelines.evaluate.study.records import Question, StudyKey

QUESTIONS: Mapping[Question, tuple[str, str]] = {
    "coherence": (
        "Temporal coherence",
        "In which clip do things keep their shape and look from frame to frame?",
    ),
    "motion": ("Motion quality", "In which clip is the motion more natural and lively?"),
    "conformity": (
        "Conformity to the picture",
        "Which clip stays closer to the picture that it starts from?",
    ),
}


def render(key: StudyKey, captions: Mapping[str, str], pictures: Mapping[str, str]) -> str:
    """The page of a study; ``captions`` and ``pictures`` (ids) are by key of the held-out clip.

    Nothing in it depends on which system made which clip, or on which pairs are attention pairs.
    """
    keys = {each["pair"]: each["key"] for each in (*key["comparisons"], *key["attention"])}
    used = sorted({task["pair"] for tasks in key["raters"].values() for task in tasks})
    study = {
        "id": key["study"],
        "questions": [
            {"id": name, "title": title, "hint": hint} for name, (title, hint) in QUESTIONS.items()
        ],
        "pairs": {pair: {"picture": pictures[keys[pair]], "caption": captions[keys[pair]]} for pair in used},
        "raters": {
            code: [[task["pair"], task["a"], task["b"]] for task in tasks]
            for code, tasks in key["raters"].items()
        },
    }
    template = page_environment("pipelines.evaluate.study.page").get_template("rater.html")
    return template.render(study=study, width=key["protocol"]["width"], height=key["protocol"]["height"])
