"""What the processes of a run on Ray import, for those that are forked from one that has imported it."""

from __future__ import annotations

from pipelines.cluster.forking import import_for_workers

# Beside the loop, what libraries import on first use: DeepSpeed's optimizers compile a function, which needs
# torch's compiler; open_clip needs transformers, and Ray Train pandas and pyarrow.
_MODULES = (
    "training.loop",
    "deepspeed",
    "open_clip.model",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "pandas",
    "pyarrow.fs",
)


def import_for_training(*, urgent: bool = True) -> None:
    """Have the next run's processes begin with their imports: see :func:`import_for_workers`."""
    import_for_workers(*_MODULES, urgent=urgent)
