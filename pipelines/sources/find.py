"""The files of a source: tables, a folder of videos, or archives of videos; one, a glob's or a folder's."""

import contextlib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from core.urls import is_web, with_plain_scheme, without_credentials, without_query
from pipelines.sources.files import KINDS, SourceFile
from pipelines.sources.listings import FolderSettings, Listing
from pipelines.sources.listings.names import VIDEO_SUFFIXES, archive_stem, is_archive, stem_of, suffix_of
from pipelines.sources.listings.trees import Found, files_below, found_file, stamp_of

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_BRACES = 1_000_000


@dataclass(frozen=True)
class FoundSource:
    """What a source consists of.

    Attributes:
        files: in the order of their names.
        videos: the folder or URL that the addresses of videos are relative to; None for tables.
        root: the folder or URL that the names of the files are relative to.
        notices: what was left out, for people.
    """

    files: list[SourceFile]
    videos: str | None = None
    root: str = ""
    notices: tuple[str, ...] = ()


def _described_shard(name: str) -> str | None:
    """The shard, without its suffix, that a file describes if it is beside it: video2dataset and img2dataset
    write STEM.parquet and STEM_stats.json for STEM.tar."""
    for ending in (".parquet", "_stats.json"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return None


def find_source(url: str, folder: FolderSettings | None = None) -> FoundSource:
    """The files of a source in the order of their names.

    A folder is searched recursively for tables; names that begin with a dot or an underscore are skipped.
    Without tables it is one of videos, or of archives. Raises AnimaticError if nothing is found or the source
    cannot be read.
    """
    with _named_in_errors(url, "source table"):
        filesystem, path = fsspec.core.url_to_fs(with_plain_scheme(url), use_listings_cache=False)
        return _Finder(url, filesystem, str(path), folder or FolderSettings()).found()


def find_archives(url: str) -> FoundSource:
    """Archives by path, glob or range in braces, or those in a folder itself; ``files`` are Listings.

    Raises AnimaticError if there are none, or if they cannot be looked for.
    """
    with _named_in_errors(url, "videos"):
        filesystem, path = fsspec.core.url_to_fs(with_plain_scheme(url), use_listings_cache=False)
        return _Finder(url, filesystem, str(path), FolderSettings()).archives()


def expanded(url: str) -> list[str]:
    """The names that a range in braces means: ``shard-{000..123}.tar``; other names alone.

    Raises AnimaticError for a range that is too long or empty.
    """
    match = _BRACES.search(url)
    if match is None:
        return [url]
    first, last = (int(number) for number in match.groups())
    if not first <= last < first + _MAX_BRACES:
        raise AnimaticError(f"{match[0]} in {without_credentials(url)} is no range of names")
    width = len(match[1])
    names = (f"{url[: match.start()]}{number:0{width}}" for number in range(first, last + 1))
    return [name + rest for name in names for rest in expanded(url[match.end() :])]


@contextlib.contextmanager
def _named_in_errors(url: str, what: str) -> Iterator[None]:
    """Name the URL in errors of looking at it."""
    try:
        yield
    except AnimaticError:
        raise
    except Exception as error:  # the libraries of stores have types of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AnimaticError(f"the {what} {without_credentials(f'{url} cannot be read: {reason}')}") from error


class _Finder:
    """Looks at what a URL names."""

    def __init__(self, url: str, filesystem: AbstractFileSystem, path: str, settings: FolderSettings) -> None:
        self._url, self._filesystem, self._path, self._settings = url, filesystem, path, settings

    def found(self) -> FoundSource:
        named = self._named()
        if named is None:
            return self._in_folder()
        archives = [file for file in named if is_archive(file.name)]
        if archives and len(archives) < len(named):
            raise AnimaticError(
                f"{without_credentials(self._url)} names {len(archives)} archives and "
                f"{len(named) - len(archives)} other files: name either"
            )
        if archives:
            return self._of_archives(archives, self._fixed_part())
        if not named:
            raise self._nothing()
        files = self._tables(named)
        return FoundSource(files, root=self._root_of(files[0]))

    def archives(self) -> FoundSource:
        """The archives that the URL names, or those in the folder itself."""
        named = self._named()
        root = self._fixed_part()
        if named is None:
            entries = self._filesystem.ls(self._path, detail=True)
            named = [found_file(entry) for entry in entries if is_archive(str(entry["name"]))]
            root = self._url.rstrip("/") or "/"
        archives = [file for file in named if is_archive(file.name)]
        if not archives:
            raise AnimaticError(f"the videos {without_credentials(self._url)} are no archives, and no folder")
        return self._of_archives(archives, root)

    def _fixed_part(self) -> str:
        """The folder before the first character of a glob or range."""
        start = re.split(r"[*?\[{]", self._url, maxsplit=1)[0]
        return start.rpartition("/")[0] or ("/" if start[:1] == "/" else ".")

    def _named(self) -> list[Found] | None:
        """The files that the URL names, with their paths; None if it is a folder."""
        filesystem, path = self._filesystem, self._path
        if _BRACES.search(path) and not filesystem.exists(path):
            return [found_file(filesystem.info(name)) for name in expanded(path)]
        if is_web(path) or not (set("*?[") & set(path)) or filesystem.exists(path):
            entry = filesystem.info(path)
            if entry["type"] == "other":
                raise AnimaticError(
                    f"the source table {path} is no regular file; it is read several times: write it to "
                    "a file"
                )
            return None if entry["type"] == "directory" else [found_file(entry)]
        found = filesystem.glob(path, detail=True)
        return [found_file(entry) for entry in found.values() if entry["type"] == "file"]

    def _in_folder(self) -> FoundSource:
        """Tables of a folder, or else archives or videos. JSON files beside other tables describe these."""
        tables, jsons, archives = list[Found](), dict[str, Found](), list[Found]()
        videos = 0
        for file in self._below():
            if _is_table(file.name):
                if KINDS[_suffix(file.name)] == "json":
                    jsons[file.name] = file
                else:
                    tables.append(file)
            elif is_archive(file.name):
                archives.append(file)
            videos += suffix_of(file.name) in VIDEO_SUFFIXES
        if jsons and videos and not tables:
            for file in self._below():  # NAME.json beside NAME.mp4 describes it
                if suffix_of(file.name) in VIDEO_SUFFIXES:
                    jsons.pop(f"{stem_of(file.name)}.json", None)
        shards = {file.name.removesuffix(".tar") for file in archives}
        tables = [file for file in tables or jsons.values() if _described_shard(file.name) not in shards]
        if tables:
            notice = (
                f"the folder has tables, which are read, and not its {len(archives)} archives on their own"
            )
            files = self._tables([self._at(file) for file in tables])
            return FoundSource(files, root=self._root_of(files[0]), notices=(notice,) if archives else ())
        if archives and videos:
            raise AnimaticError(
                f"{without_credentials(self._url)} has {videos} videos and {len(archives)} archives: name "
                "either by a glob, as in 'folder/*.tar', or a folder of their own"
            )
        if archives:
            return self._of_archives([self._at(file) for file in archives], self._url.rstrip("/") or "/")
        if not videos:
            raise self._nothing()
        return self._of_folder()

    def _of_folder(self) -> FoundSource:
        total, stamp = stamp_of(self._below())
        root = self._root(self._url.rstrip("/") or "/")
        listing = Listing(".", self._path, "folder", total, stamp, self._filesystem, settings=self._settings)
        return FoundSource([listing], root)

    def _of_archives(self, archives: list[Found], root: str) -> FoundSource:
        if is_web(self._url) and "?" in self._url:
            raise AnimaticError(
                f"{without_credentials(self._url)}: an archive behind a URL with a query cannot be recorded: "
                "name it without, or copy it to a disk or store"
            )
        root = self._root(root)
        inside = str(self._filesystem._strip_protocol(root))
        listings: list[SourceFile] = []
        for file in sorted(archives):
            name = posixpath.relpath(file.name, inside)
            kind = "zip" if file.name.lower().endswith(".zip") else "tar"
            stamp = file.stamp or None
            listings.append(
                Listing(
                    name, file.name, "zip" if kind == "zip" else "tar", file.size, stamp, self._filesystem,
                    prefix=f"{archive_stem(name)}/", url=name,
                    is_one_of_several=len(archives) > 1, settings=self._settings,
                )
            )  # fmt: skip
        return FoundSource(listings, root)

    def _root(self, root: str) -> str:
        """A local folder as a path, any other as it is."""
        if not isinstance(self._filesystem, LocalFileSystem):
            return root
        return str(self._filesystem._strip_protocol(root))

    def _root_of(self, file: SourceFile) -> str:
        """The folder that the name of a table is relative to."""
        root = file.path.removesuffix(file.name).rstrip("/") or "/"
        return (
            root if isinstance(self._filesystem, LocalFileSystem) else self._filesystem.unstrip_protocol(root)
        )

    def _tables(self, files: list[Found]) -> list[SourceFile]:
        if len(files) == 1:
            root = posixpath.dirname(files[0].name)
        else:
            root = posixpath.commonpath([posixpath.dirname(file.name) for file in files])
        return [
            SourceFile(
                name=posixpath.relpath(file.name, root) if root else file.name,
                path=file.name,
                kind=KINDS.get(_suffix(file.name), "csv"),
                size=file.size,
                stamp=file.stamp or None,
                filesystem=self._filesystem,
            )
            for file in sorted(files)
        ]

    def _below(self) -> Iterator[Found]:
        return files_below(self._filesystem, self._path)

    def _at(self, file: Found) -> Found:
        return file._replace(name=f"{self._path.rstrip('/')}/{file.name}")

    def _nothing(self) -> AnimaticError:
        return AnimaticError(
            f"the source {without_credentials(self._url)} has no table: no file name ends in "
            f"{', '.join(KINDS)}; and no videos or archives of them"
        )


def _is_table(name: str) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return not hidden and _suffix(name) in KINDS


def _suffix(name: str) -> str:
    """The suffix of the format, without that of a compression."""
    path = Path(without_query(name))
    return (path.with_suffix("") if fsspec.utils.infer_compression(str(path)) else path).suffix.lower()
