"""Make MLflow's model registry what it should be, with as few calls as that needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestration.registry.mirror.state import (
    BUNDLE_TAG,
    MODEL_PREFIX,
    TAGS,
    ModelState,
    RegistryState,
    VersionState,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Action = Literal[
    "created model", "described model", "created version", "described version", "set tag", "removed tag",
    "set alias", "removed alias",
]  # fmt: skip
_PAGE = 200


@dataclass(frozen=True)
class Change:
    """One thing that was changed in MLflow; ``subject``: the tag or alias, or the bundle's id."""

    model: str
    action: Action
    subject: str
    version: str | None = None


@dataclass(frozen=True)
class UnknownVersion:
    """A version that no bundle of the ledger, or an earlier version already, accounts for."""

    model: str
    version: str
    bundle_id: str | None


@dataclass(frozen=True)
class Source:
    """Where MLflow finds the files of a version: a URI, and the run that contains it, if any."""

    uri: str
    run_id: str | None = None


def reconcile(
    client: MlflowClient,
    state: RegistryState,
    locate: Callable[[VersionState], Source],
    on_change: Callable[[Change], None],
) -> tuple[UnknownVersion, ...]:
    """Create and change models, versions, tags and aliases until they are those of ``state``; the versions
    that MLflow has in addition.

    Repeating it changes nothing. Tags that the ledger does not know, and versions that are not in ``state``,
    stay as they are; aliases that are not in it are removed.

    Args:
        locate: the source of a version that has to be created.

    Raises:
        MlflowException: the store refuses, fails or does not answer; what was done until then remains.
    """
    unknown: list[UnknownVersion] = []
    for model in state.models:
        unknown += _Model(client, model, locate, on_change).reconcile()
    mirrored = {model.name for model in state.models}
    for found in _registered_models(client):
        if found.name not in mirrored:
            unknown += [_unknown(version) for version in _versions(client, found.name)]
    return tuple(unknown)


class _Model:
    """One registered model."""

    def __init__(
        self,
        client: MlflowClient,
        state: ModelState,
        locate: Callable[[VersionState], Source],
        on_change: Callable[[Change], None],
    ) -> None:
        self.client, self.state, self.locate, self.on_change = client, state, locate, on_change

    def reconcile(self) -> list[UnknownVersion]:
        """Versions first, since aliases refer to them."""
        name = self.state.name
        registered = self._registered()
        if (registered.description or "") != self.state.description:
            self.client.update_registered_model(name, self.state.description)
            self._changed("described model", name)
        present: dict[str, ModelVersion] = {}
        unknown = []
        expected = {version.bundle_id for version in self.state.versions}
        for found in _versions(self.client, name):
            bundle_id = found.tags.get(BUNDLE_TAG)
            if bundle_id in expected and bundle_id not in present:
                present[bundle_id] = found
            else:
                unknown.append(_unknown(found))
        numbers = {
            version.bundle_id: self._version(version, present.get(version.bundle_id))
            for version in self.state.versions
        }
        self._aliases(registered, numbers)
        return unknown

    def _registered(self) -> RegisteredModel:
        from mlflow.exceptions import MlflowException

        name = self.state.name
        try:
            return self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            created = self.client.create_registered_model(name, description=self.state.description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another mirror was faster
                raise
            return self.client.get_registered_model(name)
        self._changed("created model", name)
        return created

    def _version(self, state: VersionState, found: ModelVersion | None) -> str:
        """Its number."""
        if found is None:
            source = self.locate(state)
            created = self.client.create_model_version(
                self.state.name,
                source=source.uri,
                run_id=source.run_id,
                tags=dict(state.tags),
                description=state.description,
            )
            self._changed("created version", state.bundle_id, str(created.version))
            return str(created.version)
        number = str(found.version)
        for tag in TAGS:
            wanted = state.tags.get(tag)
            if wanted is not None and found.tags.get(tag) != wanted:
                self.client.set_model_version_tag(self.state.name, number, tag, wanted)
                self._changed("set tag", tag, number)
            elif wanted is None and tag in found.tags:
                self.client.delete_model_version_tag(self.state.name, number, tag)
                self._changed("removed tag", tag, number)
        if (found.description or "") != state.description:
            self.client.update_model_version(self.state.name, number, state.description)
            self._changed("described version", state.bundle_id, number)
        return number

    def _aliases(self, registered: RegisteredModel, numbers: dict[str, str]) -> None:
        present = {alias: str(number) for alias, number in registered.aliases.items()}
        for alias, bundle_id in self.state.aliases.items():
            number = numbers[bundle_id]
            if present.get(alias) != number:
                self.client.set_registered_model_alias(self.state.name, alias, number)
                self._changed("set alias", alias, number)
        for alias in sorted(present.keys() - self.state.aliases.keys()):
            self.client.delete_registered_model_alias(self.state.name, alias)
            self._changed("removed alias", alias, present[alias])

    def _changed(self, action: Action, subject: str, version: str | None = None) -> None:
        self.on_change(Change(self.state.name, action, subject, version))


def _unknown(version: ModelVersion) -> UnknownVersion:
    return UnknownVersion(version.name, str(version.version), version.tags.get(BUNDLE_TAG))


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions, the oldest first."""
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def _registered_models(client: MlflowClient) -> list[RegisteredModel]:
    """Those that an earlier ledger could have created."""
    found: list[RegisteredModel] = []
    token: str | None = None
    while True:
        page = client.search_registered_models(
            f"name LIKE '{MODEL_PREFIX}%'", max_results=_PAGE, page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found
