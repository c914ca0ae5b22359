"""Run the service on this machine, or on a Ray cluster, until a signal ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.config.keys import check_names
from core.config.layers import Layer, merged, nested, user_layers
from core.config.validation import check_values, validate
from core.errors import AnimaticError
from core.lock import named_lock
from orchestration import registry
from orchestration.export import Location, Pointer
from orchestration.registry import CHAMPION
from orchestration.serving.access import Access, check_listening
from orchestration.serving.settings import ServingSettings
from orchestration.workflows.export import ExportOptions, export
from orchestration.workspace import Workspace, display_path

Say = Callable[[str], None]
_LOCK = ".lock"


@dataclass(frozen=True)
class ServeOptions:
    """What a user chose.

    Attributes:
        values: settings by dotted name; those that are None count as not given.
        configs: YAML files of settings, which ``values`` win over.
        sets: assignments, which win over both.
        preset: of the champion that is exported where the workspace has no export yet.
        address: of a Ray cluster; None starts Ray on this machine.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    configs: tuple[Path, ...] = ()
    sets: tuple[str, ...] = ()
    preset: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class ServeRequest:
    """A resolved service: its settings have absolute paths.

    Attributes:
        own: the models are exports of the workspace itself, which the champion is exported to if necessary.
    """

    settings: ServingSettings
    options: ServeOptions
    own: bool


def prepare_service(options: ServeOptions, workspace: Workspace) -> ServeRequest:
    """Resolve what to serve and how. Later layers win: defaults, files, options, assignments.

    Raises AnimaticError for unknown or invalid settings, unreadable keys, and an address that other machines
    could use without a key.
    """
    from orchestration.serving.deployment import with_own_paths

    values = {name: value for name, value in options.values.items() if value is not None}
    layers = user_layers(options.configs, values, options.sets)
    check_names(ServingSettings, *layers)
    own = "location" not in merged(layers).get("source", {})
    chosen = merged([_defaults_of(workspace), *layers])
    settings = with_own_paths(check_values(validate(ServingSettings, chosen)))
    keys = None if settings.http.keys is None else Path(settings.http.keys)
    check_listening(settings.http.host, keys)
    Access(keys)  # whose file must be readable
    return ServeRequest(settings, options, own)


def serve(request: ServeRequest, workspace: Workspace, on_ready: Callable[[str], None], say: Say) -> None:
    """Run the service until a signal or Ctrl-C ends it.

    Args:
        on_ready: gets the URL, once the first model has rendered its smoke clip.
        say: gets a line for everything that happens.

    Raises:
        AnimaticError: another service uses the folder, the port is in use, there is no model, the location or
            the database does not answer, or Ray does not start, or ends.
    """
    from orchestration.serving.deployment import follow, free_port, open_stores, running

    address = request.options.address
    with named_lock(Path(request.settings.state.folder) / _LOCK, "service"):
        http = request.settings.http
        port = http.port if address else free_port(http.host, http.port)
        url = http.public_url or f"http://{_in_url(http.host)}:{port}"
        settings = _with_http(request.settings, port=port, public_url=url)
        _require_model(request, workspace, say)
        say("starting Ray" if address is None else f"starting on the Ray cluster at {address}")
        stores = open_stores(settings)
        with contextlib.closing(stores.jobs), running(settings, address, say) as watch:
            follow(settings, stores.jobs, watch, lambda: on_ready(url), say)


def _defaults_of(workspace: Workspace) -> Layer:
    root = workspace.root
    return nested(
        {
            "source.location": str(root / "exports"),
            "source.ledger": workspace.registry or str(root),
            "state.folder": str(root / "serving"),
        }
    )


def _with_http(settings: ServingSettings, **changes: object) -> ServingSettings:
    return settings.model_copy(update={"http": settings.http.model_copy(update=changes)})


def _in_url(host: str) -> str:
    """An address as URLs have it; one that means every address as this machine's own."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{own}]" if ":" in own else own


def _require_model(request: ServeRequest, workspace: Workspace, say: Say) -> None:
    """Check that the required model exists; export the champion to the workspace's own exports."""
    source = request.settings.source
    location, name = Location(source.location), source.models[0]
    where = display_path(source.location)
    if (exported := location.pointer(name)) is not None:
        if request.own and name == CHAMPION:
            _compare_champion(workspace, exported, where, say)
        return
    if not request.own or name != CHAMPION:
        raise AnimaticError(
            f"{where} has no export named {name}: run `animatic export {name} --to {where}`, or name another "
            "location with --from, or another export with --model"
        )
    registry.by_alias(workspace.ledger, CHAMPION, request.options.preset)  # or an error that names the fix
    say(f"{where} has no export yet: exporting the champion")
    result = export(ExportOptions(CHAMPION, source.location, preset=request.options.preset), workspace)
    say(f"exported bundle {result.published.export.manifest.bundle_id[:12]} to {where}")


def _compare_champion(workspace: Workspace, exported: Pointer, where: str, say: Say) -> None:
    """State that the workspace's champion is another than the exported one, which is served nevertheless."""
    try:
        champion = workspace.ledger.snapshot().alias(exported.preset, CHAMPION)
    except AnimaticError as error:  # of no concern to what is served
        say(f"whether {where} has the newest champion is unknown: {error}")
        return
    if champion is not None and champion.bundle_id != exported.bundle_id:
        command = f"animatic export champion --preset {exported.preset} --to {where}"
        say(
            f"{where} has bundle {exported.bundle_id[:12]}, and the champion of preset {exported.preset} is "
            f"{champion.bundle_id[:12]} now: `{command}` exchanges it"
        )
