"""The verb plan: what a run needs, before it is started."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import AsJson, Preset, local_source, out, print_json, print_table
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.planner.candidates import Candidate
    from orchestration.workflows.plan import Estimate, Plan

PANEL = "Training"
_GIB = 1 << 30

_Stage = Annotated[
    int,
    typer.Option(min=0, max=4, help="0 prior, 1 context, 2 adaptation, 3 detail guidance, 4 distillation."),
]
_Gpus = Annotated[
    int | None, typer.Option(min=1, help="GPUs, a process on each; launch.workers if not given.")
]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable."),
]
_Config = Annotated[
    list[Path] | None, typer.Option(help="YAML file with settings over the preset's; repeatable.")
]
_Data = Annotated[
    str | None, typer.Option(help="Dataset to measure decoding with; figures of the project without.")
]
_Rate = Annotated[
    float | None, typer.Option(help="Clips a second that one GPU trains on; that of an H100 without.")
]
_Like = Annotated[
    Path | None,
    typer.Option(parser=local_source, metavar="RUN", help="Folder of a run to take the rate from."),
]
_DecodeRate = Annotated[
    float | None, typer.Option(help="Clips a second that a core decodes, in place of measuring.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (plan,))


def plan(
    stage: _Stage,
    preset: Preset = None,
    gpus: _Gpus = None,
    gpu_memory: Annotated[float, typer.Option(help="Memory of one, in GiB.")] = 80.0,
    price: Annotated[float | None, typer.Option(help="Of a GPU for an hour, in any currency.")] = None,
    assignments: _Assignments = None,
    config: _Config = None,
    data: _Data = None,
    rate: _Rate = None,
    like: _Like = None,
    decode_rate: _DecodeRate = None,
    as_json: AsJson = False,
) -> None:
    """Memory, time and cost of a training run before it is started, and settings that fit the GPUs."""
    from orchestration.workflows.plan import PlanOptions, plan_run

    found = plan_run(
        PlanOptions(
            stage=stage,
            preset=preset,
            gpus=gpus,
            gpu_memory=gpu_memory,
            price=price,
            sets=tuple(assignments or ()),
            files=tuple(config or ()),
            data=data,
            rate=rate,
            like=like,
            decode_rate=decode_rate,
        )
    )
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


def _as_json(found: Plan) -> dict[str, object]:
    return {
        "stage": found.config.stage,
        "preset": found.config.preset,
        "gpus": found.gpus,
        "gpu_memory_gib": found.gpu_memory,
        "sizes": found.sizes,
        "fits": found.fits,
        "configured": found.configured,
        "recommended": found.recommended,
        "assignments": found.assignments,
        "table": found.table,
    }


def _print(found: Plan) -> None:
    sizes, adapter = found.sizes, found.config.train.adapter
    of_adapter = "" if adapter is None else f" by an adapter of rank {adapter.rank}"
    teacher = f", teacher (counted with them) {sizes.teacher:,}" if sizes.teacher else ""
    out().print(found.title)
    out().print(
        f"parameters: {sizes.trained_total:,} trained{of_adapter}, "
        f"{sizes.network_total - sizes.trained_total:,} frozen; "
        f"encoders {sizes.encoders:,}, codec {sizes.codec:,}{teacher}"
    )
    out().print()
    out().print("GiB of a GPU, one sample a pass:")
    stages = list(dict.fromkeys(each.zero_stage for each in found.table))
    kinds = list(dict.fromkeys(each.activation_checkpointing for each in found.table))
    by_choice = {(each.zero_stage, each.activation_checkpointing): each for each in found.table}
    print_table(
        ("recomputed", *(f"ZeRO {stage}" for stage in sorted(stages))),
        [(kind, *(_gib(by_choice[stage, kind].memory.total) for stage in sorted(stages))) for kind in kinds],
    )
    out().print()
    _print_estimate("as configured", found.configured, fits=found.fits)
    out().print()
    if found.recommended is None:
        out().print(
            f"nothing fits: with offload to host memory too, a step needs more than {found.gpu_memory:g} "
            "GiB; use larger GPUs, or fewer or smaller frames"
        )
    elif not found.assignments:
        out().print("recommended: the settings as they are")
    else:
        _print_estimate("recommended", found.recommended, fits=True)
        sets = " ".join(f"--set {shlex.quote(each)}" for each in found.assignments)
        out().print(
            f"animatic train --stage {found.config.stage} --preset {found.config.preset} "
            f"--gpus {found.gpus} {sets}"
        )


def _print_estimate(title: str, estimate: Estimate, *, fits: bool) -> None:
    choice, supply = estimate.choice, estimate.supply
    room = "" if fits else ", which does not fit"
    out().print(f"{title}: {_described(choice)}")
    out().print(f"  memory  {_gib(choice.memory.total)} GiB{room}: {_parts(choice)}")
    out().print(f"  a step  {estimate.step_flops / 1e12:,.0f} TFLOP{_time(estimate)}")
    if supply.needed is None or supply.threads is None:
        out().print(f"  data    {supply.per_core:.0f} clips/s a core, {supply.source}")
        return
    enough = "enough" if supply.threads <= supply.configured else f"data.threads is {supply.configured}"
    out().print(
        f"  data    {supply.needed:.2f} clips/s for each process, {supply.per_core:.0f} a core "
        f"{supply.source}: {_counted(supply.threads, 'thread')}, {enough}"
    )


def _described(choice: Candidate) -> str:
    offload = [
        name
        for name, chosen in (
            ("optimizer", choice.offload_optimizer),
            ("parameters", choice.offload_parameters),
            ("recomputed blocks' inputs", choice.offload_activations),
        )
        if chosen
    ]
    moved = f", {' and '.join(offload)} in host memory" if offload else ""
    samples = _counted(choice.micro_batch, "sample")
    return f"ZeRO {choice.zero_stage}, recompute {choice.activation_checkpointing}, {samples} a pass{moved}"


def _parts(choice: Candidate) -> str:
    memory = choice.memory
    parts = {
        "weights": memory.weights,
        "masters": memory.masters,
        "moments": memory.moments,
        "EMA": memory.average,
        "encoders and codec": memory.frozen_models,
        "gradients": memory.gradients,
        "activations": memory.activations,
        "CUDA": memory.total - memory.allocated,
    }
    named = ", ".join(f"{name} {_gib(value)}" for name, value in parts.items() if value)
    host = f"; {_gib(memory.host)} GiB of host memory" if memory.host else ""
    return f"{named}, at its peak in the {memory.when}{host}"


def _time(estimate: Estimate) -> str:
    speed = estimate.choice.speed
    if speed is None or estimate.days is None:
        return "; its time is unknown on this device: give --rate or --like"
    cost = "" if estimate.cost is None else f", costs {estimate.cost:,.0f}"
    return f" in {speed.step_s:.2f} s ({speed.source}); the run {estimate.days:.1f} days{cost}"


def _gib(value: int) -> str:
    return f"{value / _GIB:.1f}"


def _counted(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"
