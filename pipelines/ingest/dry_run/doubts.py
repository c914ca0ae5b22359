"""What in a table may not be meant: found while its rows are counted, stated with what would change it."""

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.urls import has_credentials, is_url, is_web
from pipelines.fetch import is_local_file, is_page_of_site
from pipelines.ingest.dry_run.records import Counts, Doubt
from pipelines.ingest.dry_run.tally import Treatment, host_of
from pipelines.ingest.unit import IngestConfig
from pipelines.sources import MemberAddress, SourceRow

_INTENDED = ("filtered", "further_caption")  # nothing is lost
_MANY = 0.3  # share of rejected rows
_FEW = 0.01  # share of rows with an oddity that is mentioned
_LEAST_REPEATED = 20
_MOST_CAPTIONS = 1000  # different ones that are counted
_LONG_CAPTION = 1000  # characters; CLIP reads 77 tokens
_FIRST_FILES = 10
_POLITE = 1000  # rows of one host
_PAGE_SUFFIXES = (".html", ".htm", ".php", ".aspx")
_MARKUP = re.compile(r"&(amp|lt|gt|quot|nbsp|#\d+);|<(br|p|b|i|span|div)\b[^>]*>", re.IGNORECASE)
_MISREAD = re.compile("Ã[\u0080-\u00bf]|â€|\ufffd")
_COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# By reason, and kind of table if it depends on it.
_NO_CAPTIONS = (
    "NAME.txt beside NAME.mp4 is its caption; --set require_caption=false takes all, as for animatic caption"
)
_REMEDIES: dict[tuple[str, str | None], str] = {
    **{("no_caption", kind): _NO_CAPTIONS for kind in ("folder", "tar", "zip")},
    (
        "no_caption",
        None,
    ): "--set columns.name=NAME names another column, require_caption=false takes all",
    ("missing_file", None): "--videos FOLDER is where relative paths begin",
    ("no_id", None): "--set columns.videoid=NAME names another column",
    ("malformed_row", "csv"): "csv.delimiter and csv.escape set how the table is read",
}
_BYTES = re.compile(r"""(\{"bytes": ")?b['"\\]""")  # of a cell, as text
_BYTES_REMEDY = "--layout huggingface, or --set columns.video_bytes=video.bytes, reads such videos"


@dataclass
class RowDoubts:
    """Counts of oddities, row by row."""

    config: IngestConfig
    pages: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    captions: Counter[str] = field(default_factory=Counter)
    with_folder: int = 0
    tried: int = 0
    first_files: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, row: SourceRow, treatment: Treatment) -> None:
        """Look at a row."""
        self.with_folder += bool(row.record.get(row.columns.page_dir))
        if treatment.reason is not None:
            return
        self.tried += 1
        location = treatment.locations[0]
        for address in filter(is_web, treatment.locations):
            self._look_at_address(address)
        if not is_url(location) and len(self.first_files) < _FIRST_FILES:
            self.first_files.append(treatment.locations)
        member = MemberAddress.parse(location)
        if member is not None and member.member and member.url.lower().endswith(_COMPRESSED_TAR):
            self._odd("compressed_tar", member.url)
        for caption in row.captions:
            self._look_at_caption(caption)

    def _look_at_address(self, location: str) -> None:
        host = host_of(location)
        if _is_site(host) or location.partition("?")[0].lower().endswith(_PAGE_SUFFIXES):
            self.pages[host] += 1
        if ("?" in location or "@" in location) and has_credentials(location):
            self._odd("signed", host)

    def _look_at_caption(self, caption: str) -> None:
        if caption[0] in "[{" and caption[-1] in "]}":
            self._odd("structured", caption)
        if len(caption) > _LONG_CAPTION:
            self._odd("long", caption)
        if ("&" in caption or "<" in caption) and _MARKUP.search(caption):
            self._odd("markup", caption)
        if not caption.isascii() and _MISREAD.search(caption):
            self._odd("misread", caption)
        if caption in self.captions or len(self.captions) < _MOST_CAPTIONS:
            self.captions[caption] += 1

    def _odd(self, kind: str, example: str) -> None:
        self.odd[kind] += 1
        self.examples.setdefault(kind, example[:80])

    def found(self, counts: Counts, table_columns: list[str], kind: str) -> Iterator[Doubt]:
        """The doubts about the rows of a table of a kind, as csv."""
        yield from self._about_rejections(counts, kind)
        yield from self._about_videos(counts, table_columns)
        yield from self._about_captions()

    def _about_rejections(self, counts: Counts, kind: str) -> Iterator[Doubt]:
        lost = {reason: each for reason, each in counts.rejected.items() if reason not in _INTENDED}
        rows = sum(each.rows for each in lost.values())
        if counts.tried + rows == 0:
            yield Doubt("no row is left", "check the condition of --where")
        elif rows / (counts.tried + rows) >= _MANY:
            worst, example = next(iter(lost.items()))
            because = f": {example.detail}" if example.detail else ""
            yield Doubt(
                f"{rows / (counts.tried + rows):.0%} of the rows are rejected, most for {worst}, "
                f"as row {example.first_row}{because}",
                _BYTES_REMEDY
                if _BYTES.match(example.detail)
                else _REMEDIES.get((worst, kind)) or _REMEDIES.get((worst, None), ""),
            )
        repeated = counts.rejected.get("duplicate_id")
        if repeated is not None:
            yield Doubt(
                f"{repeated.rows:,} rows repeat the id of an earlier one, without a new caption or span",
                f"is {self.config.columns.videoid} the id of a row? --set columns.videoid=NAME",
            )

    def _about_videos(self, counts: Counts, columns: list[str]) -> Iterator[Doubt]:
        config = self.config
        if config.videos is not None and config.columns.page_dir in columns and not self.with_folder:
            yield Doubt(f"{config.columns.page_dir} is empty in every row: videos are looked for without it")
        if self.pages and config.fetch.sites is None:
            host, rows = self.pages.most_common(1)[0]
            yield Doubt(
                f"{self.pages.total():,} rows name pages, as {rows:,} of {host}: these are no video files, "
                "and are rejected",
                "--set fetch.sites=yt-dlp fetches the videos on them",
            )
        if self.pages and config.videos is not None and config.columns.page_dir not in columns:
            name = config.columns.videoid
            yield Doubt(
                f"{config.videos} is not used: every row names its video by a web address",
                f"--set \"columns.contentUrl='{{{name}}}.mp4'\" reads files with the name of {name} there",
            )
        if self.odd["signed"]:
            yield Doubt(
                f"{self.odd['signed']:,} addresses have a password, token or signature, "
                f"as of {self.examples['signed']}",
                "they may expire, and retry cannot fetch them: signatures are not recorded",
            )
        missing = [files for files in self.first_files if not is_local_file(_file_of(files[0]))]
        if missing:
            downloads = "these are downloaded; " if all(is_web(files[-1]) for files in missing) else ""
            yield Doubt(
                f"{len(missing)} of the first {len(self.first_files)} local files do not exist, "
                f"as {missing[0][0]}",
                f"{downloads}check --videos, and page_dir and contentUrl of the rows",
            )
        if self.odd["compressed_tar"]:
            yield Doubt(
                f"{self.odd['compressed_tar']:,} videos are in compressed tars, "
                f"as {self.examples['compressed_tar']}: each unit reads its tar from the beginning",
                "decompress large ones first",
            )
        busiest = max(counts.hosts.items(), key=lambda item: item[1], default=("", 0))
        limits = config.fetch.per_host_rate, config.fetch.per_host_total
        if busiest[1] >= _POLITE and limits == (None, None):
            yield Doubt(
                f"{busiest[1]:,} downloads come from {busiest[0]}, without a limit for all workers together",
                "--set fetch.per_host_rate=10, or fetch.per_host_total=16",
            )

    def _about_captions(self) -> Iterator[Doubt]:
        texts = {
            "structured": (
                "captions look like lists or objects, and are read as text",
                "name a value within: columns.name=COLUMN.KEY",
            ),
            "markup": ("captions contain markup of pages", "clean them before ingest"),
            "misread": (
                "captions look like text of another encoding",
                "--set csv.encoding=NAME, if it is the table's",
            ),
            "long": (
                f"captions have more than {_LONG_CAPTION} characters",
                "CLIP reads the first 77 tokens alone",
            ),
        }
        for kind, (finding, remedy) in texts.items():
            if self.odd[kind] > _FEW * self.tried:
                yield Doubt(f"{self.odd[kind]:,} {finding}, as {self.examples[kind]!r}", remedy)
        if self.captions and self.tried >= _LEAST_REPEATED:
            caption, rows = self.captions.most_common(1)[0]
            if rows >= self.tried / 2:
                yield Doubt(
                    f"{rows:,} of {self.tried:,} rows have the caption {caption[:60]!r}",
                    "is it the column of captions? --set columns.name=NAME",
                )


@functools.lru_cache(maxsize=1000)
def _is_site(host: str) -> bool:
    return is_page_of_site(f"https://{host}/")


def _file_of(location: str) -> str:
    member = MemberAddress.parse(location)
    return location if member is None else member.url
