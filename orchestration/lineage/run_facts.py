"""What is displayed of a run."""

from __future__ import annotations

from datetime import UTC, datetime

from models.bundle import BundleInfo
from orchestration.lineage.looking import Check
from orchestration.lineage.records import Fact
from orchestration.lineage.runs import RecordedRun, check_checkpoint, check_environment

_SHORT = 12


def run_facts(run: RecordedRun, *, deep: bool) -> tuple[tuple[Fact, ...], list[Check]]:
    """Facts of a run folder, and checks of its checkpoints and environment that did not pass."""
    start = run.start
    states = [check_checkpoint(checkpoint, deep=deep) for checkpoint in run.checkpoints]
    environment = check_environment(run)
    lock = run.last("environment").get("lock")
    facts = [
        Fact("config hash", str(start.get("config_hash"))[:_SHORT]),
        Fact("code", str(start.get("code", "not recorded"))),
        Fact("environment lock", str(lock)[:_SHORT] if lock else environment.reason),
        *_settings(run),
        Fact("steps", _steps(run)),
        Fact("workers", f"{start.get('workers')}, on {start.get('device')}"),
        Fact("attempts", str(_attempts(run))),
        Fact("time", _times(run)),
    ]
    if states:
        kept = [check for check in states if check.state != "missing"]
        newest = run.checkpoints[-1]
        facts += [
            Fact("checkpoints", f"{len(states)} written, {len(kept)} kept"),
            Fact("newest checkpoint", f"step {newest.step:,}, {newest.digest[:_SHORT]}: {states[-1].state}"),
        ]
    return tuple(facts), [check for check in [*states, environment] if check.state == "changed"]


def bundle_run_facts(info: BundleInfo) -> tuple[Fact, ...]:
    """What a bundle records of its run."""
    facts = [Fact("config hash", info.config_hash[:_SHORT]), Fact("code", info.code_version)]
    if "seed" in info.extra:
        facts.append(Fact("seed", str(info.extra["seed"])))
    if "steps" in info.extra:
        facts.append(Fact("steps", f"{info.extra['steps']:,}"))
    return tuple(facts)


def _settings(run: RecordedRun) -> list[Fact]:
    config = run.config
    if isinstance(config, str):
        return []
    return [Fact("seed", str(config.seed)), Fact("batch", str(config.train.global_batch))]


def _steps(run: RecordedRun) -> str:
    """Steps that were planned, and where the run ended before."""
    planned = run.start.get("steps")
    if run.last("end"):
        return f"{planned:,}" if isinstance(planned, int) else str(planned)
    last = max((entry.step for entry in run.events), default=0)
    return f"unfinished: recorded up to {last:,} of {planned}"


def _attempts(run: RecordedRun) -> int:
    return sum(entry.event == "start" for entry in run.events)


def _times(run: RecordedRun) -> str:
    times = [entry.time for entry in run.events if entry.time]
    return f"{_minute(times[0])} to {_minute(times[-1])} UTC" if times else "not recorded"


def _minute(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
