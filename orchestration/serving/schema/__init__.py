"""What the HTTP API receives and answers, as pydantic models, and its error codes. Imports nothing heavy."""

from orchestration.serving.schema.codes import API_CODES, JOB_CODES, ApiCode, ApiErrorCode, JobErrorCode
from orchestration.serving.schema.errors import ApiError, ErrorBody, ErrorDetail
from orchestration.serving.schema.fields import PICTURES, VideoRequest, parse_form, parse_json
from orchestration.serving.schema.models import (
    ModelInfo,
    ModelLimits,
    ModelList,
    SamplingDefaults,
    ServiceLimits,
)
from orchestration.serving.schema.requests import VideoForm, VideoJson
from orchestration.serving.schema.service import (
    AdminStatus,
    HoldInfo,
    Liveness,
    ReplicaInfo,
    RollbackRequest,
    ServiceReadiness,
    ServingModel,
)
from orchestration.serving.schema.videos import (
    Content,
    ContentFile,
    MadeByBundle,
    Video,
    VideoDeleted,
    VideoError,
    VideoList,
    VideoStatus,
)

__all__ = [
    "API_CODES",
    "JOB_CODES",
    "PICTURES",
    "AdminStatus",
    "ApiCode",
    "ApiError",
    "ApiErrorCode",
    "Content",
    "ContentFile",
    "ErrorBody",
    "ErrorDetail",
    "HoldInfo",
    "JobErrorCode",
    "Liveness",
    "MadeByBundle",
    "ModelInfo",
    "ModelLimits",
    "ModelList",
    "ReplicaInfo",
    "RollbackRequest",
    "SamplingDefaults",
    "ServiceLimits",
    "ServiceReadiness",
    "ServingModel",
    "Video",
    "VideoDeleted",
    "VideoError",
    "VideoForm",
    "VideoJson",
    "VideoList",
    "VideoRequest",
    "VideoStatus",
    "parse_form",
    "parse_json",
]
