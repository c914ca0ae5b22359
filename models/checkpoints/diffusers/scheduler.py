"""The noise schedule and its sampler, for diffusers' DDIMScheduler."""

import json
from pathlib import Path

from models.architecture import DiffusionConfig
from models.checkpoints.diffusers.part import Part, write_json
from models.diffusion.settings import SamplingSettings, Spacing

FOLDER = "scheduler"
_PREDICTION = {"eps": "epsilon", "v": "v_prediction"}
_SPACING: dict[Spacing, str] = {"uniform": "leading", "uniform_trailing": "trailing"}


def scheduler_problem(config: DiffusionConfig) -> str | None:
    """Why DDIMScheduler cannot compute this schedule; None if it can."""
    if config.base_scale is None:
        return None
    return f"diffusers' DDIMScheduler has no dynamic rescale (base_scale {config.base_scale})"


def write_scheduler(config: DiffusionConfig, sampling: SamplingSettings, folder: Path) -> list[Part]:
    """Write ``scheduler`` below ``folder``; the timesteps visited are those of ``sampling``.

    Our DDIM ends at the first step of the schedule, without clipping; "uniform" begins at step 1.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=config.timesteps,
        beta_start=config.linear_start,
        beta_end=config.linear_end,
        beta_schedule="scaled_linear",
        prediction_type=_PREDICTION[config.parameterization],
        rescale_betas_zero_snr=config.zero_terminal_snr,
        timestep_spacing=_SPACING[sampling.spacing],
        steps_offset=1 if sampling.spacing == "uniform" else 0,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    write_json(folder / FOLDER / "scheduler_config.json", json.loads(scheduler.to_json_string()))
    remark = (
        f"Sample with {sampling.steps} steps and `eta` = {sampling.eta:g}. Steps are animatic's where their "
        f"number divides {config.timesteps}."
    )
    if sampling.solver != "ddim":
        remark += (
            f" This class is DDIM: solver {sampling.solver} of the bundle's settings is animatic's alone."
        )
    if config.zero_terminal_snr:
        remark += (
            " Use `eta` = 0.999 in place of 1: this class takes the root of a rounding error below zero at "
            "the first step, for some numbers of steps."
        )
    return [Part(FOLDER, "diffusers.DDIMScheduler", remark)]
