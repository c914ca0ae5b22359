"""``animatic train --print-initialisation``: where every tensor of a stage's network comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.cli.common import bundle_fields, out, print_json, print_table, short
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from models.bundle import Bundle
    from orchestration.workflows.initialisation import InitialisationPlan


def print_initialisation(plan: InitialisationPlan, *, every_tensor: bool) -> None:
    """Print the tensors by origin; with ``every_tensor`` each of them below the table."""
    out().print(f"{plan.title}: {len(plan.tensors):,} tensors, {plan.parameters:,} parameters")
    for word, bundle in (("base", plan.sources.base), ("parent", plan.sources.parent)):
        if bundle is not None:
            out().print(f"{word:<7}{short(bundle.id)}  {display_path(bundle.folder)}")
    for change in plan.diffusion_changes:
        out().print(change.in_words)
    out().print()
    print_table(
        ("origin", "kind", "tensors", "parameters", "trained", "how"),
        [
            (
                group.origin,
                group.kind,
                f"{group.tensors:,}",
                f"{group.parameters:,}",
                "yes" if group.trained else "no",
                group.how,
            )
            for group in plan.groups
        ],
    )
    if every_tensor:
        out().print()
        # Not a table: its columns would shorten the keys to the terminal's width.
        for tensor in plan.tensors:
            shape = "x".join(map(str, tensor.shape)) or "scalar"
            out().print(f"{tensor.key}  {shape}  {tensor.origin}: {tensor.how}")


def print_initialisation_json(plan: InitialisationPlan) -> None:
    """Print all tensors, and their groups, as one JSON object."""
    print_json(
        {
            "stage": plan.config.stage,
            "preset": plan.config.preset,
            "base": _described(plan.sources.base),
            "parent": _described(plan.sources.parent),
            "diffusion_changes": plan.diffusion_changes,
            "tensors": len(plan.tensors),
            "parameters": plan.parameters,
            "groups": plan.groups,
            "tensor_origins": plan.tensors,
        }
    )


def _described(bundle: Bundle | None) -> dict[str, str | None] | None:
    return bundle_fields(bundle.id, bundle.folder) if bundle else None
