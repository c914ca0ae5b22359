"""The bundles that a bundle descends from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models import PRIOR
from models.bundle import INFO, Bundle, BundleExtra, BundleInfo, ContinuedRun, open_bundle, read_info
from orchestration.registry import Ledger
from orchestration.workspace import display_path


@dataclass(frozen=True)
class Ancestor:
    """One link of a lineage; everything but ``id`` is None if the bundle is not on this machine any more.

    ``continued``: the checkpoint of another run that its run continued; None if it began by itself.
    ``forced``: why it was promoted without the gate's consent, if it was.
    """

    id: str
    path: Path | None
    stage: int | None
    preset: str | None
    config_hash: str | None
    dataset_digest: str | None
    continued: ContinuedRun | None = None
    forced: str = ""


@dataclass(frozen=True)
class FoundBundle:
    """A bundle of a lineage.

    Attributes:
        folder: None if it is in none of the folders that it was in.
        info: its description; None where that cannot be read.
        damage: why its files are not those that the description records; empty if they are.
        absence: what is in the recorded folders in its stead, if anything is.
    """

    id: str
    folder: Path | None = None
    info: BundleInfo | None = None
    damage: str = ""
    absence: str = ""

    @property
    def sources(self) -> list[str]:
        """Ids of its parent and base, after those of the bundles that it was computed from."""
        if self.info is None:
            return []
        begun = [self.info.parent, self.info.extra.get("base")]
        return list(dict.fromkeys([*self.computed_from, *(source for source in begun if source)]))

    @property
    def folder_of_base(self) -> dict[str, Path]:
        """The id of an adapter's base -> where that was in training, unless it is the prior."""
        adapter = self.info.adapter if self.info else None
        return {adapter.base: Path(adapter.path)} if adapter and adapter.path else {}

    @property
    def computed_from(self) -> dict[str, str]:
        """Ids of the bundles that its weights were computed from without a run -> how; empty for others."""
        extra = BundleExtra() if self.info is None else self.info.extra
        if "calibrated" in extra:
            return {extra["calibrated"]: "calibrated"}
        if "merged" in extra:
            sources = (extra["merged"], extra.get("base"))
            return {source: "merged" for source in sources if source}
        return {}


def trace_bundles(ledger: Ledger, bundle_id: str, folders: Sequence[Path]) -> list[FoundBundle]:
    """A bundle and all that it descends from, nearest first, each verified where it is found.

    Args:
        folders: to look in before those that the ledger recorded.
    """
    chain: dict[str, FoundBundle] = {}
    waiting, bases = [bundle_id], dict[str, Path]()
    while waiting:
        bundle_id = waiting.pop(0)
        if bundle_id not in chain:
            own = [*ledger.folders_of(bundle_id), *([bases[bundle_id]] if bundle_id in bases else [])]
            found = _find(bundle_id, [*folders, *own, PRIOR], own if chain else [*folders, *own])
            chain[bundle_id] = found
            waiting += found.sources
            bases |= found.folder_of_base
    return list(chain.values())


def trace_lineage(ledger: Ledger, bundle: Bundle) -> list[Ancestor]:
    """An opened bundle and everything it descends from, nearest first; each found ancestor is verified.

    Raises:
        AnimaticError: an ancestor that is still on disk fails verification.
    """
    chain = trace_bundles(ledger, bundle.id, [bundle.folder])
    for found in chain:
        if found.damage:
            raise AnimaticError(found.damage)
    return [as_ancestor(found, ledger) for found in chain]


def as_ancestor(found: FoundBundle, ledger: Ledger) -> Ancestor:
    """A bundle as one link of a lineage."""
    info, forced = found.info, ledger.forced(found.id)
    if info is None:
        return Ancestor(found.id, None, None, None, None, None, forced=forced)
    return Ancestor(
        found.id,
        found.folder,
        info.stage,
        info.preset,
        info.config_hash,
        info.dataset_digest,
        info.extra.get("continued"),
        forced,
    )


def _find(bundle_id: str, folders: Sequence[Path], recorded: Sequence[Path]) -> FoundBundle:
    """The bundle with this id in the first of the folders that contains it intact, else damaged.

    One of those that were ``recorded`` for it may contain another bundle by now, which is never reported
    under this id; the others are expected to.
    """
    damaged, absence = None, ""
    for folder in dict.fromkeys(folders):
        if not (folder / INFO).is_file():
            continue
        if (found := sha256(folder / INFO)) != bundle_id:
            if folder in recorded and not absence:
                absence = f"{display_path(folder)} contains bundle {found[:12]} now"
            continue
        intact = _opened(bundle_id, folder)
        if not intact.damage:
            return intact
        damaged = damaged or intact
    return damaged or FoundBundle(bundle_id, absence=absence)


def _opened(bundle_id: str, folder: Path) -> FoundBundle:
    try:
        return FoundBundle(bundle_id, folder, open_bundle(folder).info)
    except (AnimaticError, OSError) as error:
        return FoundBundle(bundle_id, folder, _description(folder), damage=str(error))


def _description(folder: Path) -> BundleInfo | None:
    """What a damaged bundle states; None for one that a later version wrote."""
    try:
        return read_info(folder / INFO)
    except (AnimaticError, OSError):
        return None
