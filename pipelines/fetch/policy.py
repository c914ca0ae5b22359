"""How videos are fetched: settings, read without the libraries that apply them."""

from pydantic import Field

from core.config.section import Section


class FetchPolicy(Section):
    """Attempts, sizes and concurrency of downloads; limits are those of one worker."""

    max_bytes: int = Field(2 << 30, gt=0, description="largest file, bytes")
    attempts: int = Field(3, ge=1, description="attempts at one file, the first included")
    backoff_s: float = Field(
        1.0,
        ge=0,
        description="pause before the second attempt, seconds; doubles with each one, and up to as much "
        "again is added at random",
    )
    timeout_s: float = Field(120.0, gt=0, description="of one attempt, seconds")
    concurrency: int = Field(8, ge=1, le=256, description="downloads at once")
    per_host: int = Field(8, ge=1, description="downloads at once from one host")
    ahead: int = Field(16, ge=1, description="files fetched before their turn")
    ahead_bytes: int = Field(
        512 << 20, gt=0, description="no download is begun while as many fetched bytes wait"
    )
    allow_private: bool = Field(False, description="http sources may have addresses that are not public")
