"""Settings of the service: defaults, then configuration files, then what the command or its user sets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from core.config.section import Section
from models.diffusion.settings import Interval, Solver, check_eta
from models.network.settings import Compilation

GIB = 2**30
ExportName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class SourceSettings(Section):
    """Where models come from."""

    location: str = Field("runs/exports", description="folder or URL that `animatic export --to` writes to")
    models: tuple[ExportName, ...] = Field(
        ("champion", "challenger"),
        min_length=1,
        description="names of exports; the first is required, the others are served while they exist",
    )
    signers: tuple[str, ...] = Field(
        (), description="files of public keys, one of which must have signed a bundle"
    )
    poll_seconds: float = Field(10.0, gt=0, le=3600, description="between two looks at the location")
    ledger: str | None = Field(
        None,
        description="folder or URL of the ledger that deployments are recorded in; null: the workspace's "
        "for `animatic serve`, none where another tool deploys the application",
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        if len(set(self.models)) != len(self.models):
            raise ValueError("source.models has a name twice")
        return self


class StateSettings(Section):
    """What the service stores."""

    folder: str = Field("runs/serving", description="local folder of the service; one service uses it")
    database: str | None = Field(
        None, description="URL of the jobs' database, as postgresql://…; null: jobs.sqlite in the folder"
    )
    results: str | None = Field(
        None, description="folder or URL for pictures and clips; null: results/ in the folder"
    )
    keep_hours: float = Field(24.0, gt=0, le=24 * 365, description="for which clips can be fetched")
    max_bytes: int = Field(20 * GIB, ge=1, description="of stored pictures and clips; the oldest go first")


class HttpSettings(Section):
    """Where the service listens, and for whom."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    keys: str | None = Field(
        None, description="file of API keys; null: anyone who can connect, on this machine only"
    )
    replicas: int = Field(1, ge=1, le=100, description="processes that answer requests")
    public_url: str | None = Field(
        None, description="URL that clients use, recorded with deployments; null: host and port"
    )


class LimitSettings(Section):
    """What one request, and all together, may ask for."""

    body_bytes: int = Field(20 * 2**20, ge=1024, le=2**31 - 1, description="of a request")
    body_seconds: float = Field(30.0, gt=0, le=3600, description="in which a request's body must arrive")
    bodies: int = Field(16, ge=1, le=1000, description="that are received at once")
    pixels: int = Field(16_000_000, ge=1, le=50_000_000, description="of a picture, by its header")
    side: int = Field(16_384, ge=1, le=65_535, description="of a picture: its longer one, in pixels")
    prompt_chars: int = Field(2000, ge=1, le=100_000, description="characters of a prompt")
    frames: int = Field(64, ge=1, le=10_000, description="of a clip")
    steps: int = Field(100, ge=1, le=1000, description="of sampling")
    queue: int = Field(100, ge=1, le=1_000_000, description="videos that may wait")
    queue_per_key: int = Field(50, ge=1, le=1_000_000, description="videos of one key that may wait")
    requests_per_minute: int = Field(
        120, ge=1, le=1_000_000, description="videos that one key may submit, unless the key has its own rate"
    )
    sync_seconds: float = Field(600.0, gt=0, le=24 * 3600, description="that a synchronous request waits")


class EngineSettings(Section):
    """The replicas, each with a device."""

    min_replicas: int = Field(1, ge=1, le=1000, description="that are always there")
    max_replicas: int = Field(1, ge=1, le=1000, description="that the queue may call for")
    queue_per_replica: int = Field(
        4, ge=1, le=10_000, description="waiting and running videos of a replica, above which one is added"
    )
    scale_up_seconds: float = Field(
        30.0, ge=0, le=24 * 3600, description="for which the queue is too long before replicas are added"
    )
    scale_down_seconds: float = Field(
        600.0, ge=0, le=24 * 3600, description="for which it is short enough before replicas are removed"
    )
    gpus: float | None = Field(
        None, ge=0, le=64, description="of a replica; null: one where the cluster has GPUs, or else none"
    )
    batch: int = Field(
        4,
        ge=1,
        le=256,
        description="most videos of one shape that are sampled together; with 1, all clips have the bytes of "
        "`animatic animate`, with more, those that waited together may differ by rounding",
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        None, description="of the network; null: the bundle's"
    )
    compile: Compilation = Field(
        "off",
        description="torch.compile of the network's repeated blocks, with graphs as CUDA graphs too; clips "
        "differ by rounding, and the first of each shape takes minutes",
    )
    lease_seconds: float = Field(
        30.0, gt=0, le=3600, description="after which a video of a replica that is gone runs again"
    )
    attempts: int = Field(3, ge=1, le=100, description="of a video whose replicas are lost")
    smoke_steps: int = Field(4, ge=2, le=1000, description="of sampling in a model's trial clip")
    stop_seconds: float = Field(
        120.0, ge=0, le=24 * 3600, description="in which running videos may end when a replica stops"
    )

    @model_validator(mode="after")
    def _replicas(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("engine.min_replicas is above engine.max_replicas")
        return self


class DefaultSettings(Section):
    """What a request gets that does not say; what is not set here, the bundle decides."""

    model_config = ConfigDict(allow_inf_nan=False)

    steps: int | None = Field(None, ge=1, le=1000, description="evaluations of the network")
    eta: float | None = Field(None, ge=0, le=1, description="noise of DDIM, 0: none, 1: ancestral")
    solver: Solver | None = Field(None, description="DDIM, or a solver that needs fewer steps")
    guidance_interval: Interval | None = Field(
        None, description="[low, high]: shares of the noise schedule between which guidance is computed"
    )
    guidance_every: int | None = Field(
        None, ge=1, le=1000, description="steps of which one computes guidance"
    )
    cache_every: int | None = Field(
        None, ge=1, le=1000, description="steps of which one computes the whole network"
    )
    text_guidance: float | None = Field(None, ge=0, description="scale of guidance by the text")
    image_guidance: float | None = Field(None, ge=0, description="scale of guidance by the image")
    fps: float | None = Field(None, gt=0, le=1000, description="frame rate given to the network")
    frames: int | None = Field(None, ge=1, le=10_000, description="of a clip")
    playback: float | None = Field(None, ge=0.1, le=1000, description="frames per second of the files")

    @model_validator(mode="after")
    def _eta_is_the_solvers(self) -> Self:
        if self.solver is not None and self.eta is not None:
            check_eta(self.solver, self.eta)
        return self


class ServingSettings(Section):
    """All settings of the service."""

    # Recorded nowhere.
    may_have_credentials: ClassVar[frozenset[str]] = frozenset({"state.database"})

    source: SourceSettings = SourceSettings()
    state: StateSettings = StateSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()
    engine: EngineSettings = EngineSettings()
    defaults: DefaultSettings = DefaultSettings()
