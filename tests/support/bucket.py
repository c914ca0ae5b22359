"""An object store that speaks S3, in this process."""

BUCKET = "clips"
