"""How a clip is sampled. Imports no torch: commands and configurations read it before any model is built."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from core.config.section import Section
from models.motion import MOST_MOTION

Spacing = Literal["uniform", "uniform_trailing"]
Solver = Literal["ddim", "dpmpp_2m", "unipc", "sde_dpmpp_2m", "consistency"]

# Torch takes 64 bits, of which numbering the clips of a batch takes 20: see models.animate.
MAX_SEED = 2**44 - 1


def _check_interval(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if not 0 <= low < high <= 1:
        raise ValueError(f"an interval is [low, high] with 0 <= low < high <= 1, not [{low:g}, {high:g}]")
    return ends


Interval = Annotated[tuple[float, float], AfterValidator(_check_interval)]

# The eta that a solver has by its definition; DDIM takes any.
_ETA: Final[dict[str, float]] = {"dpmpp_2m": 0.0, "unipc": 0.0, "sde_dpmpp_2m": 1.0, "consistency": 1.0}


class SamplingSettings(Section):
    """How a clip is sampled; the defaults are general ones for any animator.

    Fields from ``solver`` on are not part of what is recorded (bundles, exports, reports) at their defaults:
    files from before they existed keep their bytes.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    steps: int = Field(50, ge=1, le=1000, description="evaluations of the network")
    eta: float = Field(
        1.0,
        ge=0,
        le=1,
        description="noise of DDIM, 0: deterministic, 1: ancestral; other solvers set it: 0, or 1 for SDE",
    )
    text_guidance: float = Field(7.5, ge=0, description="scale of guidance by the text; 1: none")
    image_guidance: float | None = Field(
        None,
        ge=0,
        description="scale of guidance by the image; null: text and image together, with text_guidance",
    )
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="share of the rescaled prediction (arXiv:2305.08891, section 3.4)"
    )
    spacing: Spacing = Field(
        "uniform_trailing", description="timesteps visited: uniform from the first, or up to the last"
    )
    fps: float | None = Field(
        None, gt=0, le=1000, description="frame rate (256 model: stride) given to the network"
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="of the noise")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the network's arithmetic")
    solver: Solver = Field(
        "ddim",
        description="DDIM; of second order: DPM-Solver++(2M), UniPC, and SDE-DPM-Solver++(2M) with noise; "
        "consistency: of a network that was distilled for it",
        exclude_if=lambda solver: solver == "ddim",
    )
    guidance_interval: Interval = Field(
        (0.0, 1.0),
        description="[low, high]: shares of the noise schedule, 0: its clean end, between which guidance is "
        "computed; elsewhere one pass has image and text (arXiv:2404.07724)",
        exclude_if=lambda interval: interval == (0.0, 1.0),
    )
    guidance_every: int = Field(
        1,
        ge=1,
        le=1000,
        description="steps, of which the first computes all passes of guidance; the others compute one, and "
        "reuse what guidance added to it",
        exclude_if=lambda every: every == 1,
    )
    cache_every: int = Field(
        1,
        ge=1,
        le=1000,
        description="steps, of which the first computes the whole network; the others reuse what its deep "
        "layers gave (DeepCache, arXiv:2312.00858)",
        exclude_if=lambda every: every == 1,
    )
    motion: float | None = Field(
        None,
        ge=0,
        le=MOST_MOTION,
        description="subject motion, percent of the short side a frame, of a network with motion condition; "
        "null: unspecified",
        exclude_if=lambda motion: motion is None,
    )

    @model_validator(mode="before")
    @classmethod
    def _solver_sets_eta(cls, given: Any) -> Any:
        if isinstance(given, dict) and "eta" not in given and given.get("solver") in _ETA:
            return {**given, "eta": _ETA[given["solver"]]}
        return given

    @model_validator(mode="after")
    def _eta_is_the_solvers(self) -> Self:
        check_eta(self.solver, self.eta)
        return self

    def changed(self, **chosen: Any) -> Self:
        """These settings with others in place of some; a chosen solver brings its eta unless one is chosen.

        Raises pydantic.ValidationError where a value is out of range or two contradict each other.
        """
        if chosen.get("solver") in _ETA:
            chosen = {"eta": _ETA[chosen["solver"]], **chosen}
        return self.model_validate(self.model_dump() | chosen)


def check_eta(solver: Solver, eta: float) -> None:
    """Raise ValueError where a solver adds other noise than eta states."""
    own = _ETA.get(solver, eta)
    if eta != own:
        adds = "as much noise as eta 1" if own else "no noise"
        # A student of consistency has no other solver.
        other = "" if solver == "consistency" else ", or take solver ddim"
        raise ValueError(
            f"solver {solver} adds {adds}, but eta is {eta:g}: set eta to {own:g} or leave it out{other}"
        )


def problem_of(error: ValidationError) -> str:
    """The first problem with settings, as part of a message."""
    first = error.errors()[0]
    name = "".join(f"{part} {first['input']}: " for part in first["loc"][:1])
    return name + first["msg"].removeprefix("Value error, ")
