"""Whether two reports can be compared: the same protocol, clips and computations of metrics."""

from collections.abc import Collection, Mapping
from typing import cast

from pydantic import JsonValue

from core.errors import AnimaticError
from pipelines.evaluate.records import EvaluationReport

_LONG = 24  # characters; longer values are digests


def mismatch(
    first: EvaluationReport, second: EvaluationReport, only: Collection[str] | None = None
) -> str | None:
    """What keeps two reports from being compared, with both values; None if nothing does.

    ``only``: the metrics that matter; None: all that both reports have.
    """
    return _protocols(first, second) or _clips(first, second) or _metrics(first, second, only)


def require_match(
    first: EvaluationReport,
    second: EvaluationReport,
    names: tuple[str, str],
    only: Collection[str] | None = None,
) -> None:
    """Raise AnimaticError, naming what differs, for reports whose figures do not compare.

    ``names``: of the two reports, for the message; ``only`` as of :func:`mismatch`.
    """
    found = mismatch(first, second, only)
    if found is not None:
        raise AnimaticError(
            f"{names[0]} and {names[1]} cannot be compared: their {found}; evaluate both systems on the same "
            "data, with the same options and version"
        )


def _protocols(first: EvaluationReport, second: EvaluationReport) -> str | None:
    a = cast(Mapping[str, JsonValue], first["protocol"])
    b = cast(Mapping[str, JsonValue], second["protocol"])
    # The number of clips and their choice follow from the rest: the cause comes first.
    names = [*(name for name in a if name not in ("n", "clips")), "n", "clips"]
    differing = next((name for name in names if a[name] != b[name]), None)
    return None if differing is None else _differs(f"protocol.{differing}", a[differing], b[differing])


def _clips(first: EvaluationReport, second: EvaluationReport) -> str | None:
    for a, b in zip(first["clips"], second["clips"], strict=True):
        if a["key"] != b["key"]:
            return _differs("clips", a["key"], b["key"])
        if a["source"] != b["source"]:
            return _differs(f"source video of clip {a['key']}", a["source"], b["source"])
    return None


def _metrics(first: EvaluationReport, second: EvaluationReport, only: Collection[str] | None) -> str | None:
    for name, a in first["metrics"].items():
        b = second["metrics"].get(name)
        if b is None or (only is not None and name not in only):
            continue
        if a["version"] != b["version"]:
            return _differs(f"version of {name}", a["version"], b["version"])
        if (a["unit"], a["better"]) != (b["unit"], b["better"]):
            return _differs(f"unit of {name}", f"{a['unit']}, {a['better']}", f"{b['unit']}, {b['better']}")
    return None


def _differs(what: str, first: JsonValue, second: JsonValue) -> str:
    return f"{what} differs ({_short(first)} and {_short(second)})"


def _short(value: JsonValue) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > _LONG and " " not in text else text
