"""Take source videos down from datasets, and find what has seen them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import AnimaticError
from orchestration.lineage import Descendant, seen_by
from orchestration.workflows.takedown_copies import Copies, find_copies, trains_on
from orchestration.workspace import Workspace, display_path
from pipelines.takedown import DatasetPlan, latents_of, plan_takedown, take_down
from training.run_folder import RunFolder

_COMMENT = "#"


@dataclass(frozen=True)
class TakedownOptions:
    """What is removed from where.

    Attributes:
        datasets: folders or URLs.
        source_ids: exact ids of videos; ``file`` has more, one a line.
        latents: locations of latents that are not below their dataset's folder.
        reason: for the history of the datasets.
        dry_run: plan and find only.
    """

    datasets: tuple[str, ...]
    source_ids: tuple[str, ...] = ()
    file: Path | None = None
    latents: tuple[str, ...] = ()
    reason: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class DatasetTakedown:
    """What was, or will be, done to one dataset.

    Attributes:
        after: its digest afterwards; None in a dry run, and where its ingest did not finish.
        incomplete_latents: those that `animatic encode` has to complete.
    """

    plan: DatasetPlan
    after: str | None = None
    incomplete_latents: tuple[str, ...] = ()


@dataclass(frozen=True)
class TakedownReport:
    """The result.

    Attributes:
        absent: ids that no dataset has or had.
        seen: what descends from the datasets as they were, and may have been taught by the videos.
        copies: files with pictures of them.
        unfinished_runs: folders of runs among ``seen`` without a bundle, which cannot be resumed.
        commands: what may follow, for people to decide.
    """

    dry_run: bool
    datasets: tuple[DatasetTakedown, ...]
    absent: tuple[str, ...]
    seen: tuple[Descendant, ...]
    copies: tuple[Copies, ...]
    unfinished_runs: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def found_any(self) -> bool:
        """Whether a dataset has, or had, one of the videos."""
        return any(each.plan.found or each.plan.already or each.plan.rejected_later for each in self.datasets)


def takedown(
    options: TakedownOptions, workspace: Workspace, on_progress: Callable[[int, int], None]
) -> TakedownReport:
    """Plan for all datasets, then remove, then list what has seen the videos; the ledger is not changed.

    ``on_progress`` gets (units done, units) of each dataset.

    Raises:
        AnimaticError: no id is given; the file, a dataset, latents or the ledger cannot be read or used.
    """
    ids = _ids(options)
    assigned = _assigned(options.datasets, options.latents)
    plans = [plan_takedown(dataset, ids, latents) for dataset, latents in assigned.items()]
    # Found before anything changes: what is stopped midway is found again by the same call.
    seen = _seen(plans, workspace)
    copies = find_copies(
        workspace, ids, [digest for plan in plans for digest in plan.seen_in], list(assigned), seen
    )
    done = tuple(DatasetTakedown(plan) for plan in plans)
    if not options.dry_run:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        done = tuple(
            _take_down(plan, ids, assigned[plan.dataset], options.reason, now, on_progress) for plan in plans
        )
    has_or_had = {name for plan in plans for name in (*plan.found, *plan.already, *plan.rejected_later)}
    return TakedownReport(
        dry_run=options.dry_run,
        datasets=done,
        absent=tuple(name for name in ids if name not in has_or_had),
        seen=tuple(seen),
        copies=tuple(copies),
        unfinished_runs=tuple(_unfinished(seen, list(assigned))),
        commands=tuple(_commands(seen, done)),
    )


def _take_down(
    plan: DatasetPlan,
    ids: Sequence[str],
    latents: Sequence[str],
    reason: str,
    now: str,
    on_progress: Callable[[int, int], None],
) -> DatasetTakedown:
    result = take_down(plan.dataset, ids, latents=latents, reason=reason, date=now, progress=on_progress)
    # What a stopped takedown had begun is finished first, and is no longer part of the result's plan.
    return DatasetTakedown(plan if plan.units else result.plan, result.digest, result.incomplete_latents)


def _ids(options: TakedownOptions) -> list[str]:
    """All ids, each once, in order."""
    found = list(options.source_ids)
    if options.file is not None:
        found += read_ids(options.file)
    if not found:
        raise AnimaticError("name the videos: --source-id ID, or --file with one id a line")
    return list(dict.fromkeys(found))


def read_ids(path: Path) -> list[str]:
    """Ids in a text file, one a line, without blanks around them.

    Empty lines and those that begin with # count as none.

    Raises:
        AnimaticError: the file cannot be read, is not UTF-8, or has no id.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AnimaticError(f"{display_path(path)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AnimaticError(
            f"{display_path(path)} is not UTF-8 (byte {error.start}): save it as UTF-8, one id a line"
        ) from error
    lines = (line.strip() for line in text.split("\n"))
    ids = [line for line in lines if line and not line.startswith(_COMMENT)]
    if not ids:
        raise AnimaticError(f"{display_path(path)} has no id: write one a line")
    if any("\0" in name for name in ids):
        raise AnimaticError(f"{display_path(path)} contains a NUL character: save it as text, one id a line")
    return ids


def _assigned(datasets: Sequence[str], latents: Sequence[str]) -> dict[str, list[str]]:
    """The latents of each dataset. Raises AnimaticError for latents of none of them."""
    assigned = {dataset: latents_of(dataset, latents) for dataset in dict.fromkeys(datasets)}
    for url in latents:
        if not any(url in each for each in assigned.values()):
            raise AnimaticError(
                f"the latents at {url} are of none of these datasets: leave them out, or name theirs too"
            )
    return assigned


def _seen(plans: Sequence[DatasetPlan], workspace: Workspace) -> list[Descendant]:
    digests = {digest for plan in plans for digest in plan.seen_in}
    urls = [plan.dataset for plan in plans if plan.seen_in]
    return seen_by(digests, workspace, urls=urls) if digests else []


def _unfinished(seen: Sequence[Descendant], datasets: Sequence[str]) -> list[str]:
    """Folders of the runs that train on the datasets and have no bundle."""
    folders = [RunFolder(Path(each.where)) for each in seen if each.kind == "run" and each.where is not None]
    return [
        display_path(folder.path)
        for folder in folders
        if not folder.bundle.exists() and trains_on(folder, datasets)
    ]


def _commands(seen: Sequence[Descendant], done: Sequence[DatasetTakedown]) -> list[str]:
    """Commands that may follow; withdrawing is for people to decide."""
    followed = {display_path(latents.latents) for each in done for latents in each.plan.latents}
    datasets = " ".join(display_path(each.plan.dataset) for each in done)
    commands = [
        f"animatic takedown {datasets} --latents {each.where}, with the same ids"
        for each in seen
        if each.kind == "latents" and each.where not in followed
    ]
    commands += [
        f"animatic encode {display_path(each.plan.dataset)} --to {display_path(url)}"
        for each in done
        for url in each.incomplete_latents
    ]
    named = {each.why.rpartition(" ")[2] for each in seen if each.kind == "alias"}
    for each in seen:
        if each.kind == "bundle" and each.digest is not None and each.digest[:12] in named:
            commands.append(f'animatic withdraw {each.digest[:12]} --reason "a video was taken down"')
    return list(dict.fromkeys(commands))
