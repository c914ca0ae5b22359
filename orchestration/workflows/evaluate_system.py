"""What an evaluation's options say of the system that generates, the clips' size, and the held-out data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.registry import newest_final_bundle, select_bundle
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluateConfig

if TYPE_CHECKING:
    from pipelines.evaluate import BaselineSettings, PublicData, SampleShape, System

Protocol = Literal["held-out", "ucf101", "msrvtt"]
# Of the authors of DynamiCrafter: Doubiiu/DynamiCrafter, issues 6 and 10.
PUBLIC_DEFAULTS: Mapping[str, object] = {"clips": 2048, "stride": 3}

_SIZE = re.compile(r"(\d{1,4})x(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True)
class SystemOptions:
    """What generates the clips, and on which data.

    At most one of ``generated``, a folder of clips that another system made, and ``baseline``, which needs
    ``weights``; a bundle if neither is given. ``size``: FRAMESxHEIGHTxWIDTH of clips that no bundle makes,
    that of the bundle or champion if None. ``split`` and ``captions`` choose from a public dataset.
    ``elsewhere``: the pictures are exported, for a system that runs elsewhere. ``newest``: the bundle is the
    one of the last stage that was accepted last, in place of the champion. ``preset``: of the bundle.
    """

    protocol: str = "held-out"
    split: str | None = None
    captions: str | None = None
    generated: Path | None = None
    baseline: str | None = None
    weights: Path | None = None
    size: str | None = None
    elsewhere: bool = False
    newest: bool = False
    preset: str | None = None

    def check(self, steps: int | None = None) -> None:
        """Raise AnimaticError for options that contradict each other, or values that do not exist."""
        if self.protocol not in get_args(Protocol):
            raise AnimaticError(
                f"--protocol {self.protocol!r} does not exist: pass one of {', '.join(get_args(Protocol))}"
            )
        if self.generated is not None and self.baseline is not None:
            raise AnimaticError("--generated measures clips that exist and --baseline generates: pass one")
        if self.elsewhere and (self.generated is not None or self.baseline is not None):
            raise AnimaticError("--export-pictures measures nothing: leave out --generated and --baseline")
        if self.newest and not self.needs_bundle:
            raise AnimaticError("--newest chooses the bundle that generates: leave it out, no bundle does")
        if self.preset is not None and self.size is not None:
            raise AnimaticError("--preset is that of a bundle, and with --size there is none: leave it out")
        if (self.weights is None) != (self.baseline is None):
            raise AnimaticError("--baseline needs --weights, the folder of its pipeline, and only it does")
        if self.generated is not None and steps is not None:
            raise AnimaticError("--generated measures clips that exist: leave out --steps")
        if self.split is not None and self.protocol == "held-out":
            raise AnimaticError("--split chooses from a public dataset: pass --protocol too, or leave it out")
        if self.captions is not None and self.protocol != "msrvtt":
            raise AnimaticError("--captions chooses among those of MSR-VTT: pass --protocol msrvtt too")

    def public_data(self, folder: str) -> PublicData:
        """The part of the public dataset in ``folder``."""
        from pipelines.evaluate import PublicData

        dataset = cast(Literal["ucf101", "msrvtt"], self.protocol)
        return PublicData(dataset, Path(folder), self.split, self.captions)

    @property
    def needs_bundle(self) -> bool:
        """Whether a bundle generates the clips."""
        return self.generated is None and self.baseline is None and not self.elsewhere


@dataclass(frozen=True)
class ChosenSystem:
    """What generates: a bundle, or one of the others, which are compared at ``shape``; nothing, where the
    pictures are exported."""

    bundle: Bundle | None = None
    generated: Path | None = None
    baseline: BaselineSettings | None = None
    shape: SampleShape | None = None

    def compared_at(self, stride: int) -> SampleShape:
        """How the real clips are sampled, at this distance between frames."""
        from pipelines.evaluate import SampleShape

        if self.shape is not None:
            return replace(self.shape, stride=stride)
        assert self.bundle is not None
        architecture = self.bundle.info.architecture
        return SampleShape(architecture.frames, architecture.height, architecture.width, stride)

    def describe(self, config: EvaluateConfig, on_progress: Callable[[int, int], None]) -> System:
        """The system; ``on_progress`` gets (megabytes read, megabytes) of what is identified by content.

        Raises AnimaticError if it is not what it should be.
        """
        from pipelines.evaluate import baseline_system, bundle_system, generated_system

        if self.generated is not None and self.shape is not None:
            return generated_system(self.generated, self.shape, on_progress)
        if self.baseline is not None and self.shape is not None:
            return baseline_system(self.baseline, self.shape, on_progress)
        assert self.bundle is not None
        return bundle_system(self.bundle, config, on_progress)


def choose_system(
    options: SystemOptions, bundle: str | None, steps: int | None, workspace: Workspace
) -> ChosenSystem:
    """The system that the options name. Raises AnimaticError as :meth:`SystemOptions.check`, or without a
    bundle that generates or gives the size."""
    options.check(steps)
    if options.needs_bundle:
        if options.size is not None:
            raise AnimaticError("--size is that of clips which no bundle generates: leave it out")
        if not options.newest:
            return ChosenSystem(bundle=select_bundle(workspace.ledger, bundle, options.preset))
        if bundle is not None:
            raise AnimaticError("--bundle names a bundle, --newest chooses the one accepted last: pass one")
        return ChosenSystem(bundle=newest_final_bundle(workspace.ledger, options.preset))
    shape = compared_shape(options.size, bundle, workspace, options.preset)
    if options.baseline is not None:
        return ChosenSystem(baseline=_baseline(options, steps), shape=shape)
    return ChosenSystem(generated=options.generated, shape=shape)


def compared_shape(
    size: str | None, bundle: str | None, workspace: Workspace, preset: str | None = None
) -> SampleShape:
    """Frames, height and width of FRAMESxHEIGHTxWIDTH, or else of the bundle or champion.

    Raises AnimaticError for another text, or if there is no bundle.
    """
    from pipelines.evaluate import SampleShape

    if size is None:
        architecture = select_bundle(workspace.ledger, bundle, preset).info.architecture
        return SampleShape(architecture.frames, architecture.height, architecture.width)
    match = _SIZE.fullmatch(size)
    frames, height, width = map(int, match.groups()) if match else (0, 0, 0)
    if frames < 2 or min(height, width) < 8:
        raise AnimaticError(
            f"--size {size[:40]!r} is not FRAMESxHEIGHTxWIDTH, as 16x256x256, of at least 2x8x8"
        )
    return SampleShape(frames, height, width)


def _baseline(options: SystemOptions, steps: int | None) -> BaselineSettings:
    from pipelines.evaluate import BASELINES, BaselineName, BaselineSettings

    if options.baseline not in BASELINES:
        raise AnimaticError(
            f"--baseline {options.baseline!r} does not exist: pass one of {', '.join(BASELINES)}"
        )
    assert options.weights is not None
    settings = BaselineSettings(cast(BaselineName, options.baseline), options.weights, steps)
    settings.check()
    return settings
