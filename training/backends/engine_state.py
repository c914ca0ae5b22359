"""The state of DeepSpeed's engine by name of parameter, which any number of processes can continue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import AnimaticError
from training.backends.optimizer_state import (
    MOMENTS,
    Moments,
    PlainMoments,
    loss_scaling,
    set_loss_scaling,
    set_updates,
)
from training.backends.zero import HeldPart, held_parts, refresh_weights
from training.checkpoints import check_whole
from training.checkpoints.state import Piece, StateReader
from training.processes.group import ProcessGroup

_MASTER = "master"
_SKIPPED, _STEPS, _SCALE = "optimizer/skipped_steps", "optimizer/steps", "loss_scale/"
_TAG = "deepspeed"  # folder of DeepSpeed's files in a checkpoint of format 1


class EngineState:
    """Masters, moments and counters of an engine; its settings are always those of the configuration."""

    def __init__(
        self,
        engine: Any,
        parameters: Mapping[str, Any],
        shapes: Mapping[str, torch.Size],
        group: ProcessGroup,
        optimizer_kind: str = "adamw",
    ) -> None:
        """
        Args:
            engine: DeepSpeed's, after its initialisation.
            parameters: the trained ones by name.
            shapes: of the whole parameters: under ZeRO stage 3 those of the network are empty.
            optimizer_kind: ``optimizer.kind``.
        """
        self._engine, self._group = engine, group
        self._sizes = {name: shapes[name].numel() for name in parameters}
        self._held = held_parts(engine, parameters, group.rank)
        self._moments = moments_of(engine.basic_optimizer, optimizer_kind)
        self._own = self._held
        if engine.zero_optimization_stage() == 0:
            # All processes hold everything: each contributes a share.
            self._own = {name: part.share(group.rank, group.size) for name, part in self._held.items()}

    def fragments(self) -> dict[str, Piece]:
        """This process's parts of the masters by name; those of all processes cover each exactly once."""
        return {name: self._piece(name, part, part.partition) for name, part in self._own.items()}

    def set_masters(self, weights: Mapping[str, Tensor]) -> None:
        """Set the masters to whole fp32 weights, which DeepSpeed's cast to a half type has rounded."""
        with torch.no_grad():
            for name, part in self._held.items():
                part.of(part.partition).copy_(weights[name].flatten()[part.start : part.start + part.size])

    def pieces(self) -> dict[str, Piece]:
        """See :class:`training.checkpoints.Stateful`."""
        pieces: dict[str, Piece] = {}
        for name, part in self._own.items():
            pieces[f"{_MASTER}/{name}"] = self._piece(name, part, part.partition)
            pieces |= self._moments.pieces(name, part, self._sizes[name])
        return pieces

    def counters(self) -> dict[str, int | float | str | bool | None]:
        """See :class:`training.checkpoints.Stateful`."""
        engine = self._engine
        scaling = {_SCALE + name: value for name, value in loss_scaling(engine.optimizer).items()}
        return {_STEPS: engine.global_steps, _SKIPPED: engine.skipped_steps, **scaling}

    def restore(self, reader: StateReader) -> None:
        """Continue from the state in a checkpoint. Collective.

        Raises AnimaticError when it is of another network or configuration.
        """
        # Where one process cannot read its part, none begins to exchange weights.
        self._group.together(lambda: self._read(reader))
        refresh_weights(self._engine)

    def load_first_format(self, folder: Path) -> None:
        """Continue from DeepSpeed's own files, as written with as many processes and the same ZeRO stage.
        Collective."""
        engine = self._engine
        groups = engine.optimizer.param_groups
        settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        clip = getattr(engine.optimizer, "clip_grad", None)
        # Frozen weights are not in the checkpoint (they come from bundles), hence not strict.
        path, _ = engine.load_checkpoint(str(folder), tag=_TAG, load_module_strict=False)
        if path is None:
            raise AnimaticError(f"DeepSpeed found no checkpoint in {folder}")
        # The files have the settings of the run that wrote them; another run may continue with its own.
        for group, own in zip(engine.optimizer.param_groups, settings, strict=True):
            group.update(own)
        if clip is not None:
            engine.optimizer.clip_grad = clip

    def _piece(self, name: str, part: HeldPart, tensor: Tensor) -> Piece:
        return Piece(part.of(tensor), part.start, self._sizes[name])

    @torch.no_grad()
    def _read(self, reader: StateReader) -> None:
        engine, optimizer = self._engine, self._engine.basic_optimizer
        for kind in (_MASTER, *MOMENTS):
            for name, whole in self._sizes.items():
                check_whole(reader, f"{kind}/{name}", whole)
        for name, part in self._held.items():
            part.of(part.partition).copy_(reader.read(f"{_MASTER}/{name}", part.start, part.size))
            self._moments.restore(name, part, reader)
        counters = reader.counters
        missing = [name for name in self.counters() if name not in counters]
        if missing:
            raise AnimaticError(
                f"checkpoint {reader.folder} has no counter {missing[0]}: it is of another run"
            )
        scaling = {name.removeprefix(_SCALE): v for name, v in counters.items() if name.startswith(_SCALE)}
        set_loss_scaling(engine.optimizer, scaling)
        steps, skipped = int(counters[_STEPS] or 0), int(counters[_SKIPPED] or 0)
        partitions = {id(part.partition): part.partition for part in self._held.values()}
        set_updates(optimizer, partitions.values(), steps - skipped)
        engine.global_steps, engine.skipped_steps = steps, skipped


def moments_of(optimizer: torch.optim.Optimizer, kind: str) -> Moments:
    """The moments of an optimizer of ``optimizer.kind``."""
    if kind == "adamw_8bit":
        # Needs a package of an extra.
        from training.backends.adamw_8bit import BlockMoments, GuardedAdamW8bit

        if isinstance(optimizer, GuardedAdamW8bit):
            return BlockMoments(optimizer)
        raise TypeError(f"{type(optimizer).__name__} has no moments of 8 bits")
    return PlainMoments(optimizer)
