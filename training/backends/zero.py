"""Where DeepSpeed's ZeRO keeps the fp32 masters of a parameter, and the weights that it trains with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor


class HeldPart(NamedTuple):
    """A process's part of a parameter, in the memory of the optimizer.

    Attributes:
        partition: flat tensor that the optimizer updates; its moments are laid out alike.
        offset: position of the part in it.
        size: number of values, without padding.
        start: position of the part in the flat parameter.
    """

    partition: Tensor
    offset: int
    size: int
    start: int

    def of(self, tensor: Tensor) -> Tensor:
        """The part in a tensor that is laid out like the partition, as a view."""
        return tensor.detach().view(-1).narrow(0, self.offset, self.size)

    def share(self, rank: int, processes: int) -> "HeldPart":
        """The share of one of the processes that hold this same part."""
        begin, end = self.size * rank // processes, self.size * (rank + 1) // processes
        return HeldPart(self.partition, self.offset + begin, end - begin, self.start + begin)


def held_parts(engine: Any, parameters: Mapping[str, Any], rank: int) -> dict[str, HeldPart]:
    """This process's parts by name, without those that it has none of.

    Args:
        engine: DeepSpeed's, after its initialisation.
        parameters: the trained ones, with the attributes that DeepSpeed adds to them.
        rank: of this process.
    """
    find = {0: _whole, 3: _shard}.get(engine.zero_optimization_stage(), _fragment)
    found = {name: find(engine, parameter, rank) for name, parameter in parameters.items()}
    return {name: part for name, part in found.items() if part is not None and part.size > 0}


def refresh_weights(engine: Any) -> None:
    """Round the weights that the network computes with from the masters, as a step does. Collective."""
    optimizer, stage = engine.optimizer, engine.zero_optimization_stage()
    if stage == 3:
        optimizer.checkpoint_event_prologue()  # small parameters are whole in all processes otherwise
        for number in range(len(optimizer.fp16_groups)):
            optimizer._reassign_or_swap_out_partitioned_parameters(number)
        optimizer.checkpoint_event_epilogue()
    elif stage:
        optimizer.update_lp_params()


def _whole(engine: Any, parameter: Any, rank: int) -> HeldPart:
    return HeldPart(parameter, 0, parameter.numel(), 0)


def _fragment(engine: Any, parameter: Any, rank: int) -> HeldPart | None:
    """Stages 1 and 2 shard the concatenation of all parameters."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    partition = engine.basic_optimizer.param_groups[mapping.param_group_index]["params"][0]
    address = mapping.hp_fragment_address
    return HeldPart(partition, address.start, address.numel, mapping.lp_fragment_address.start)


def _shard(engine: Any, parameter: Any, rank: int) -> HeldPart:
    """Stage 3 shards each parameter; the last shards are padded."""
    optimizer = engine.optimizer
    group, offset, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = min(size * rank, parameter.ds_numel)
    count = min(size, parameter.ds_numel - start)
    return HeldPart(optimizer.fp32_partitioned_groups_flat[group], offset, count, start)
