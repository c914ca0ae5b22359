"""Large tables mapped into memory, which the processes of a node share."""

import hashlib
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.files import atomic_file, sha256
from core.lock import file_lock
from core.storage import Folder
from pipelines.dataset.stored_table import require_digest

log = logging.getLogger(__name__)

_ROWS = 1 << 15  # in memory at once while a table is converted


def mapped_table(folder: Folder, name: str, digest: str, cache: Path) -> pa.Table:
    """A Parquet file of a folder, as a mapped Arrow file under ``cache`` that is created once on each node.

    In memory where the cache cannot be written to. Raises OSError, also if the file's sha256 is not
    ``digest``, and pyarrow.ArrowException.
    """
    try:
        (cache / "tables").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s/%s is read into memory, its cache cannot be used: %s", folder, name, error)
        data = folder.read(name)
        require_digest(hashlib.sha256(data).hexdigest(), digest)
        return pq.read_table(io.BytesIO(data))
    copy = cache / "tables" / f"{digest}.arrow"
    with file_lock(copy.with_suffix(".lock")):
        if not copy.exists():
            with atomic_file(copy) as part, _local(folder, name, part.with_suffix(".parquet")) as source:
                require_digest(sha256(source), digest)
                _convert(source, part)
    os.utime(copy)  # the folder is cleared by age
    return pa.ipc.open_file(pa.memory_map(str(copy))).read_all()


def _convert(source: Path, to: Path) -> None:
    file = pq.ParquetFile(source)
    with pa.OSFile(str(to), "wb") as sink, pa.ipc.new_file(sink, file.schema_arrow) as writer:
        for batch in file.iter_batches(_ROWS):
            writer.write_batch(batch)


@contextmanager
def _local(folder: Folder, name: str, scratch: Path) -> Iterator[Path]:
    if folder.local_path is not None:
        yield folder.local_path / name
        return
    try:
        folder.fetch(name, scratch)
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)
