"""Solvers against exact solutions, against diffusers, and against DDIM with all steps of the schedule."""

import math

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from models.architecture import DiffusionConfig
from models.diffusion.sampler import sample
from models.diffusion.schedule import Diffusion, dynamic_rescale, final_alphas_cumprod
from models.diffusion.settings import SamplingSettings

SHAPE = (2, 3, 2, 4, 4)
MEAN, DEVIATION = 0.5, 1.5
ZERO_SNR = [DiffusionConfig(), DiffusionConfig(base_scale=0.7)]
SOLVERS = ["ddim", "dpmpp_2m", "unipc", "sde_dpmpp_2m"]
OF_ODE = ["ddim", "dpmpp_2m", "unipc"]


def settings(solver: str, steps: int, **more) -> SamplingSettings:
    eta = {"eta": 0.0} if solver == "ddim" else {}
    return SamplingSettings(solver=solver, steps=steps, text_guidance=1.0, **eta, **more)


def noise(shape=SHAPE, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def generators(seeds=(1, 2)) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def double(config: DiffusionConfig) -> Diffusion:
    return Diffusion(config).double()


def network(x, step, names):
    """A smooth prediction that depends on the latents, across pixels, and on time."""
    phase = step.view(-1, 1, 1, 1, 1) / 300
    return [torch.sin(x + phase) + 0.3 * torch.roll(x, 1, dims=-1).cos() for _ in names]


class Gaussian:
    """The best prediction of v for clean latents N(MEAN, DEVIATION²), for which the ODE has a closed form."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.root = np.sqrt(final_alphas_cumprod(config))
        self.scale = dynamic_rescale(config)
        self.sigma = np.sqrt(1 - self.root**2)

    def __call__(self, x, step, names):
        t = int(step[0])
        signal, sigma = self.root[t] * self.scale[t], self.sigma[t]
        clean = (MEAN * sigma**2 + DEVIATION**2 * signal * x) / self.variance(t)
        eps = (x - signal * clean) / sigma
        return [self.root[t] * eps - sigma * self.scale[t] * clean]

    def variance(self, t: int) -> float:
        return float((self.root[t] * self.scale[t] * DEVIATION) ** 2 + self.sigma[t] ** 2)

    def solution(self, x, start: int):
        """The latents at step 0 of the trajectory through ``x`` at ``start``."""
        signal = self.root * self.scale[: len(self.root)]
        factor = math.sqrt(self.variance(0) / self.variance(start))
        return signal[0] * MEAN + (x - signal[start] * MEAN) * factor


@pytest.mark.parametrize("config", [*ZERO_SNR, DiffusionConfig(zero_terminal_snr=False)])
@pytest.mark.parametrize(
    ("solver", "least", "most"), [("ddim", 3, 5), ("dpmpp_2m", 12, 30), ("unipc", 7, 30)]
)
def test_the_error_falls_with_the_order_of_the_solver(config, solver, least, most):
    """Four times the steps: a quarter of the error for first order, up to a sixteenth for second."""
    gaussian, x = Gaussian(config), noise()
    errors = []
    for steps in (50, 200):
        found = sample(double(config), gaussian, x, settings(solver, steps))
        errors.append(float((found - gaussian.solution(x, 999)).square().mean().sqrt()))
    assert least < errors[0] / errors[1] < most, errors
    assert errors[0] < (0.1 if solver == "ddim" else 0.01)


@pytest.mark.parametrize(
    "config", [*ZERO_SNR, DiffusionConfig(parameterization="eps", zero_terminal_snr=False)]
)
def test_solvers_of_the_ode_reach_ddim_with_every_step_of_the_schedule(config):
    diffusion, x = double(config), noise()
    wanted = sample(diffusion, network, x, settings("ddim", 1000))
    ddim, *others = (
        float((sample(diffusion, network, x, settings(solver, 100)) - wanted).abs().max())
        for solver in OF_ODE
    )
    assert all(other < ddim / 3 for other in others), (ddim, others)


@pytest.mark.parametrize("config", ZERO_SNR)
@pytest.mark.parametrize("steps", [30, 60])
def test_the_sde_form_has_the_mean_and_variance_of_the_data(config, steps):
    gaussian, x = Gaussian(config), noise((2, 4, 8, 25, 25))
    found = sample(double(config), gaussian, x, settings("sde_dpmpp_2m", steps), generators())
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(found.std()) == pytest.approx(DEVIATION, abs=0.03)
    # Noise at every step: little of the first is left.
    assert abs(float(torch.corrcoef(torch.stack([found.flatten(), x.flatten()]))[0, 1])) < 0.1


@pytest.mark.parametrize("steps", [2, 7, 20])
@pytest.mark.parametrize("parameterization", ["v", "eps"])
@pytest.mark.parametrize("solver", SOLVERS[1:])
def test_every_step_is_that_of_diffusers_where_it_has_the_schedule(solver, parameterization, steps):
    config = DiffusionConfig(parameterization=parameterization, zero_terminal_snr=False)
    chosen = settings(solver, steps)
    found = sample(double(config), network, noise(), chosen, generators())
    common = {
        "beta_start": config.linear_start,
        "beta_end": config.linear_end,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction" if parameterization == "v" else "epsilon",
        "timestep_spacing": "trailing",
        "final_sigmas_type": "sigma_min",
    }
    if solver == "unipc":
        scheduler = UniPCMultistepScheduler(**common)
    else:
        kind = "sde-dpmsolver++" if solver == "sde_dpmpp_2m" else "dpmsolver++"
        scheduler = DPMSolverMultistepScheduler(algorithm_type=kind, euler_at_final=True, **common)
    scheduler.set_timesteps(steps)
    x, drawn = noise(), generators()
    for step in scheduler.timesteps:
        prediction = network(x, step.expand(len(x)), ["both"])[0]
        added = {}
        if solver == "sde_dpmpp_2m":
            added["variance_noise"] = torch.stack([torch.randn(SHAPE[1:], generator=each) for each in drawn])
        x = scheduler.step(prediction, step, x, **added).prev_sample
    torch.testing.assert_close(found, x.double(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("config", ZERO_SNR)
def test_one_step_from_pure_noise_gives_the_clean_latents_that_the_network_predicts(solver, config):
    """At zero terminal SNR v is the clean latents, but for the sign."""
    for steps, spacing in (
        (1, "uniform"),
        (2, "uniform"),
        (300, "uniform"),
        (2, "uniform_trailing"),
        (3, "uniform_trailing"),
        (667, "uniform_trailing"),
    ):
        chosen = settings(solver, steps, spacing=spacing)
        assert torch.isfinite(sample(double(config), network, noise(), chosen, generators())).all()
    seen = []

    def denoise(x, step, names):
        seen.append(x)
        return network(x, step, names)

    one = settings(solver, 1)
    found = sample(double(config), denoise, noise(), one, generators())
    signal, sigma = (float(x) for x in (Gaussian(config).root[0], Gaussian(config).sigma[0]))
    clean = -network(noise(), torch.full((2,), 999), ["both"])[0]
    if solver != "ddim":  # whose last step keeps the dynamic rescale, as published
        clean = clean / float(Gaussian(config).scale[999])
    added = (
        noise()
        if solver != "sde_dpmpp_2m"
        else torch.stack([torch.randn(SHAPE[1:], generator=each) for each in generators()])
    )
    torch.testing.assert_close(found, signal * clean + sigma * added.double(), rtol=1e-4, atol=1e-4)
    assert len(seen) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_sample_does_not_depend_on_its_batch_nor_on_who_leaves_it(solver):
    diffusion, chosen = double(DiffusionConfig()), settings(solver, 6)
    together = sample(diffusion, network, noise(), chosen, generators())
    alone = sample(diffusion, network, noise()[1:], chosen, generators((2,)))
    left = sample(
        diffusion, network, noise(), chosen, generators(), keep=lambda done, steps: [1] if done == 3 else None
    )
    torch.testing.assert_close(together[1:], alone)
    torch.testing.assert_close(left, alone)
    again = sample(diffusion, network, noise(), chosen, generators())
    assert torch.equal(together, again)
