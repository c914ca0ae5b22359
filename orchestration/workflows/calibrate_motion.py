"""Calibrate the motion condition of a bundle: measure what its clips move by, and correct what is asked for.

The network is given rising values, from little to much motion of the clips of a dataset. Clips of one half of
the pictures are measured at each; the rising curve through the means is the calibration. Clips of the other
half, sampled for motions that double, give its error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.disk_errors import usable_folder
from core.errors import AnimaticError
from models.asked_motion import motion_range
from models.bundle import Bundle, BundleOrigin, check_new, write_bundle
from models.diffusion.settings import SamplingSettings
from models.motion import MotionCalibration
from orchestration.registry import check_complete, select_bundle
from orchestration.workflows import motion_curve
from orchestration.workflows.motion_curve import AskedMotion
from orchestration.workflows.new_bundle import new_bundle
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace
from pipelines.loader import Captions, ClipSampling
from training.config import presets, resolve

if TYPE_CHECKING:
    from torch import Tensor

    from models.animator import Animator


@dataclass(frozen=True)
class CalibrateOptions:
    """What to calibrate, and by which pictures.

    ``bundle``: a folder, id or alias, the champion (of ``preset``) if None; ``data``: a dataset with subject
    motion; ``out``: the folder of the calibrated bundle, ``runs/calibrated/BUNDLE`` if None; ``clips`` of
    each half; ``levels``: values that the network is given, from the least to the most of ``given``, or of
    the dataset if None; ``amplification``: of what they change; ``batch``: clips sampled at once.
    """

    data: str
    bundle: str | None = None
    preset: str | None = None
    out: Path | None = None
    clips: int = 16
    levels: int = 6
    given: tuple[float, float] | None = None
    amplification: float = 1.0
    batch: int = 8
    steps: int | None = None
    seed: int | None = None
    codec: str | None = None
    encoders: str | None = None


@dataclass(frozen=True)
class CalibrationPlan:
    """The opened bundle, pictures (n 3 h w) uint8 of both halves with captions, and the values to give."""

    options: CalibrateOptions
    bundle: Bundle
    pictures: Tensor
    captions: Sequence[str]
    given: Sequence[float]
    settings: SamplingSettings
    folder: Path

    @property
    def clips(self) -> int:
        """Clips to sample, at most."""
        return self.options.clips * (self.options.levels + motion_curve.DOUBLINGS + 1)


@dataclass(frozen=True)
class CalibratedBundle:
    """The new bundle, and what its calibration was tested with."""

    id: str
    folder: Path
    calibration: MotionCalibration
    tests: list[AskedMotion]


def prepare_calibration(options: CalibrateOptions, workspace: Workspace) -> CalibrationPlan:
    """Open the bundle and read the pictures.

    Raises:
        AnimaticError: no such bundle, one without a motion condition, a dataset that has too few clips, no
            subject motion or hardly any, values out of range, or an output folder that exists.
    """
    motion_curve.check_amplification(options.amplification)
    if options.given is not None:
        motion_curve.check_ends(options.given)
    bundle = select_bundle(workspace.ledger, options.bundle, options.preset)
    if motion_range(bundle.info.architecture) is None:
        raise AnimaticError(
            f"bundle {bundle.folder} has no motion condition: train one with --set "
            "model.unet.motion_condition=true"
        )
    if bundle.info.adapter is not None:
        raise AnimaticError(
            f"bundle {bundle.folder} is of an adapter, and a calibration belongs to whole weights: merge it "
            "with `animatic merge`, and calibrate the result"
        )
    check_complete(bundle, options.codec, options.encoders)
    folder = options.out or workspace.root / "calibrated" / bundle.id[:12]
    check_new(folder)
    usable_folder(folder.parent)
    pictures, captions, fps, motions = _read(options, bundle)
    chosen = sampling_settings(bundle, SamplingOptions(steps=options.steps, seed=options.seed))
    settings = chosen.model_copy(update={"motion": None, "fps": chosen.fps or fps})
    given = motion_curve.levels(options.given or motion_curve.usual(motions, options.data), options.levels)
    return CalibrationPlan(options, bundle, pictures, captions, given, settings, folder)


def calibrate(plan: CalibrationPlan, on_progress: Callable[[int, int], None]) -> CalibratedBundle:
    """Sample, measure, and write the calibrated bundle; ``on_progress`` gets (clips done, clips at most).

    Raises:
        AnimaticError: the clips do not move more where the network is given more, or the folder exists by
            now or cannot be written.
    """
    with new_bundle(plan.folder, "calibrate-motion", plan.bundle.weights.stat().st_size):
        return _calibrate(plan, on_progress)


def _calibrate(plan: CalibrationPlan, on_progress: Callable[[int, int], None]) -> CalibratedBundle:
    import torch

    animator = plan.bundle.animator(plan.options.codec, plan.options.encoders)
    animator = animator.to("cuda" if torch.cuda.is_available() else "cpu")
    sampler = _Sampler(plan, animator, on_progress)
    amplification = plan.options.amplification
    sampler.calibrate_with(motion_curve.uncalibrated(amplification))
    means = [sampler.mean_motion(value, half=0) for value in plan.given]
    curve = motion_curve.curve(plan.given, means)
    first = MotionCalibration(
        given=tuple(given for given, _ in curve),
        measured=tuple(measured for _, measured in curve),
        amplification=amplification,
        error=0.0,
        clips=plan.options.clips,
        steps=plan.settings.steps,
    )
    sampler.calibrate_with(first)
    tests = [
        AskedMotion(asked, sampler.mean_motion(asked, half=1))
        for asked in motion_curve.doublings(first.range)
    ]
    calibration = first.model_copy(update=motion_curve.errors(tests))
    return CalibratedBundle(_write(plan, calibration, tests), plan.folder, calibration, tests)


class _Sampler:
    """Samples and measures clips of one half of the pictures."""

    def __init__(
        self, plan: CalibrationPlan, animator: Animator, on_progress: Callable[[int, int], None]
    ) -> None:
        self._plan, self._animator, self._on_progress, self._done = plan, animator, on_progress, 0

    def calibrate_with(self, calibration: MotionCalibration | None) -> None:
        """What is asked for from now on is corrected by a calibration."""
        changed = {"motion_calibration": calibration}
        self._animator.architecture = self._animator.architecture.model_copy(update=changed)

    def mean_motion(self, motion: float, half: int) -> float:
        """Of the clips for which this is asked, whose noise is the same for every motion."""
        from models.animate import animate, noise_seeds
        from models.pixels import to_signed
        from orchestration.media import to_frames
        from pipelines.score import clip_motion

        plan, count = self._plan, self._plan.options.clips
        settings = plan.settings.model_copy(update={"motion": motion})
        seeds = noise_seeds(settings.seed, 2 * count)
        found: list[float] = []
        for start in range(half * count, (half + 1) * count, plan.options.batch):
            rows = slice(start, min(start + plan.options.batch, (half + 1) * count))
            images = to_signed(plan.pictures[rows])
            clips = animate(self._animator, images, plan.captions[rows], settings, seeds=seeds[rows])
            found += [clip_motion(to_frames(clip), self._animator.device.type) for clip in clips]
            self._done += len(clips)
            self._on_progress(self._done, plan.clips)
        return sum(found) / len(found)


def _read(options: CalibrateOptions, bundle: Bundle) -> tuple[Tensor, list[str], float, list[float]]:
    """First frames of clips, their captions, the median rate and the motions of the samples."""
    from pipelines.loader import ClipLoader, WeightedDataset

    architecture, count = bundle.info.architecture, 2 * options.clips
    name, stage = bundle.info.preset, bundle.info.stage
    of_preset = resolve(stage, name).data.sampling if name in presets() else None
    size = {each: getattr(architecture, each) for each in ("frames", "height", "width")}
    sampling = ClipSampling(**size).model_copy(
        update={
            **(of_preset.model_dump(include={"stride", "target_fps", "fps_condition"}) if of_preset else {}),
            "condition": "first",
            "motion_condition": True,
            "drop_motion": 0.0,
        }
    )
    data = WeightedDataset.open(options.data, captions=Captions(draw="first"), motion_condition=True)
    loader = ClipLoader([data], sampling, seed=options.seed or 0, global_batch=count)
    if loader.samples_per_epoch < count:
        raise AnimaticError(
            f"{options.data} has {loader.samples_per_epoch} clips that are long enough, and {count} are "
            f"needed: twice --clips {options.clips}"
        )
    batch = next(iter(loader))
    assert batch.motion is not None  # as the sampling asks
    motions = batch.motion[~batch.motion.isnan()]
    return batch.stills, batch.captions, float(batch.fps.median()), motions.tolist()


def _write(plan: CalibrationPlan, calibration: MotionCalibration, tests: Sequence[AskedMotion]) -> str:
    info = plan.bundle.info
    changed = {"motion_calibration": calibration}
    fields = {name: getattr(info, name) for name in BundleOrigin.model_fields}
    origin = BundleOrigin(
        **fields
        | {
            "architecture": info.architecture.model_copy(update=changed),
            "extra": {**info.extra, "calibrated": plan.bundle.id},
            # A motion that the bundle had by default was a number for the network itself.
            "sampling": info.sampling_defaults.model_copy(update={"motion": None}),
        }
    )
    card = _card(plan.bundle, calibration, tests)
    return write_bundle(plan.folder, plan.bundle.weights, origin, model_card=card, keep_file=True)


def _card(bundle: Bundle, calibration: MotionCalibration, tests: Sequence[AskedMotion]) -> str:
    low, high = calibration.range
    rows = "\n".join(f"| {each.asked:.3g} | {each.measured:.3g} |" for each in tests)
    return (
        f"{bundle.card.rstrip()}\n\n## Motion\n\nSubject motion of {low:.3g} to {high:.3g} percent of the "
        f"short side a frame can be asked for (`--motion`). Means of {calibration.clips} clips, of pictures "
        f"that the calibration was not fitted to:\n\n| asked | measured |\n| --- | --- |\n{rows}\n"
    )
