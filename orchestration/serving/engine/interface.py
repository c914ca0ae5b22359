"""What the engine needs of the exchange: models under their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from models.animator import Animator
    from orchestration.export import ExportedBundle


class LoadedModel(Protocol):
    """A version of a model, on the device."""

    @property
    def name(self) -> str:
        """The name that it is exported under, as "champion"."""
        ...

    @property
    def exported(self) -> ExportedBundle:
        """Where it comes from: its bundle, and the manifest whose digest is its version."""
        ...

    @property
    def animator(self) -> Animator:
        """On the device, in evaluation mode."""
        ...


class Models(Protocol):
    """The models of a replica. The device thread alone calls these methods."""

    def resolve(self, model: str) -> LoadedModel | None:
        """The model of a name or of a bundle's id; None if this replica has it no more."""
        ...

    def served(self) -> frozenset[str]:
        """The names and ids that :meth:`resolve` knows: the jobs that may be claimed."""
        ...

    def between_jobs(self) -> None:
        """Put into use what is prepared: called often, while nothing else uses the device."""
        ...
