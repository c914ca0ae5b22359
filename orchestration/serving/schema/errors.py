"""The error envelope, and the exception that becomes one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from core.errors import AnimaticError
from orchestration.serving.schema.codes import API_CODES, ApiErrorCode


class ErrorDetail(BaseModel):
    """What went wrong, and what to do."""

    model_config = ConfigDict(frozen=True)

    message: str = Field(description="one line: what is wrong, and the fix")
    type: str = Field(description="coarse kind, as invalid_request_error")
    param: str | None = Field(description="the field that is wrong, if one is")
    code: ApiErrorCode = Field(description="fine kind, for programs")
    video: str | None = Field(None, description="id of the video that the error is about, where one exists")


class ErrorBody(BaseModel):
    """The body of every answer with a status of 400 or above."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "message": "num_inference_steps is 5000: at most 1000",
                        "type": "invalid_request_error",
                        "param": "num_inference_steps",
                        "code": "invalid_request",
                        "video": None,
                    }
                }
            ]
        },
    )

    error: ErrorDetail


class ApiError(AnimaticError):
    """An answer with the error envelope.

    Attributes:
        code: decides the status: see :data:`orchestration.serving.schema.API_CODES`.
        param: the field of the request that is wrong.
        retry_after_s: seconds after which the same request may succeed.
        video: id of the video that the request made all the same.
    """

    def __init__(
        self,
        code: ApiErrorCode,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        video: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ApiErrorCode = code
        self.param, self.retry_after_s, self.video = param, retry_after_s, video

    @property
    def status(self) -> int:
        """The HTTP status."""
        return API_CODES[self.code].status

    @property
    def body(self) -> ErrorBody:
        """The envelope."""
        detail = ErrorDetail(
            message=str(self),
            type=API_CODES[self.code].kind,
            param=self.param,
            code=self.code,
            video=self.video,
        )
        return ErrorBody(error=detail)
