"""The source table that a configuration names."""

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
    )
