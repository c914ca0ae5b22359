"""The source table that a configuration names."""

from core.errors import AnimaticError
from core.urls import without_credentials
from pipelines.ingest.unit import IngestConfig
from pipelines.sources import SourceTable


def table_of(config: IngestConfig) -> SourceTable:
    """Open the source of a configuration. Raises AnimaticError as SourceTable does."""
    return SourceTable(
        config.source,
        config.columns,
        config.where,
        config.csv,
        has_videos=config.videos is not None,
        require_caption=config.require_caption,
        folder=config.folder,
    )


def with_own_videos(config: IngestConfig, table: SourceTable) -> IngestConfig:
    """The configuration of a source that has its own videos: their folder is the source's.

    Raises AnimaticError if another folder is given.
    """
    if table.videos is None:
        return config
    if config.videos not in (None, table.videos):
        raise AnimaticError(
            f"{without_credentials(config.source)} has videos of its own: leave out the folder of videos"
        )
    return config.model_copy(update={"videos": table.videos})
