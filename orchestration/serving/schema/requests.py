"""The two forms of a request with its pictures, for the API's description: intake reads them by itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from orchestration.serving.schema.fields import VideoRequest

_Upload = Annotated[
    bytes,
    WithJsonSchema({"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}),
]
_DATA = "data:image/png;base64,iVBORw0KGgo…"


class ImageUrl(BaseModel):
    """A picture in an object."""

    model_config = ConfigDict(extra="forbid")

    image_url: str = Field(description="a data: URL; others are refused", examples=[_DATA])


class VideoForm(VideoRequest):
    """A request as multipart/form-data."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "waves roll onto the beach", "seed": "42"}]}
    )

    input_reference: _Upload = Field(description="the picture: PNG, JPEG or WebP")
    last_reference: _Upload | None = Field(None, description="a picture to end at; not with loop")


class VideoJson(VideoRequest):
    """A request as application/json."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "input_reference": _DATA,
                    "prompt": "waves roll onto the beach",
                    "model": "champion",
                    "seed": 42,
                }
            ]
        }
    )

    input_reference: str | ImageUrl = Field(description="the picture as a data: URL, PNG, JPEG or WebP")
    last_reference: str | ImageUrl | None = Field(None, description="a picture to end at; not with loop")
