"""The learning rate of each step."""

import math

from training.config.sections import OptimizerConfig


def learning_rate(options: OptimizerConfig, steps: int, position: int) -> float:
    """Linear warm-up to ``lr``; then constant, or falling to ``final_lr`` at step ``decay_steps`` and later.

    Linearly, or along half a cosine (arXiv:1608.03983, equation 5, without restarts).

    Args:
        steps: of the whole run, where ``decay_steps`` is None.
        position: number of the step, from 1; steps that were skipped do not count.
    """
    if position < options.warmup_steps:
        return options.lr * (position / options.warmup_steps)
    if options.schedule == "constant":
        return options.lr
    begin = max(options.warmup_steps, 1)
    progress = (position - begin) / max((options.decay_steps or steps) - begin, 1)
    left = 1 - min(progress, 1.0)
    if options.schedule == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return options.final_lr + (options.lr - options.final_lr) * left
