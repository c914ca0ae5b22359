"""Which captions videos without a table have: settings."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class FolderSettings(Section):
    """Settings of folders and archives of videos without a table."""

    captions: Literal["auto", "sidecar", "class", "none"] = Field(
        "auto",
        description="of videos without a table; sidecar: from NAME.txt, NAME.json, NAME.srt or NAME.vtt; "
        "class: the name of their folder, as UCF-101's; auto: sidecar, or else class; none",
    )
