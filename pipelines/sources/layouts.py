"""Published tables: their names for WebVid's columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipelines.sources.row import ColumnNames, is_template, names_in

_YOUTUBE = "https://www.youtube.com/watch?v="


@dataclass(frozen=True)
class Layout:
    """How a published table names its columns.

    Attributes:
        name: as in ``--layout``.
        title: of the dataset, and what its files are.
        columns: the names.
        marks: columns of which a table of this layout is recognised, if not those of ``columns``.
    """

    name: str
    title: str
    columns: ColumnNames
    marks: frozenset[str] = frozenset()

    def names(self) -> dict[str, str | None]:
        """The names that differ from WebVid's."""
        return self.columns.model_dump(exclude_unset=True)

    def fits(self, columns: set[str]) -> bool:
        """Whether a table with these columns may have this layout."""
        if self.marks:
            return self.marks <= columns
        named = {name for name in self.names().values() if name is not None}
        named |= {name for text in named for name in names_in(text)}
        needed = {name.partition(".")[0] for name in named if not is_template(name)}
        return needed <= columns


_LAYOUTS: Final = (
    Layout("webvid", "WebVid: CSV", ColumnNames()),
    Layout(
        "panda70m",
        "Panda-70M and Koala-36M: CSV with a list of spans and captions for each video of YouTube",
        ColumnNames(videoid="videoID", name="caption", contentUrl="url", timestamp="timestamp"),
    ),
    Layout(
        "internvid",
        "InternVid: JSON lines or Parquet with one span of a video of YouTube in each row",
        ColumnNames(
            videoid="YoutubeID",
            name="Caption",
            contentUrl=_YOUTUBE + "{YoutubeID}",
            start="Start_timestamp",
            end="End_timestamp",
        ),
    ),
    Layout(
        "hdvila",
        "HD-VILA-100M: JSON lines with a list of spans for each video of YouTube; it has no captions",
        ColumnNames(videoid="video_id", name="clip.caption", contentUrl="url", timestamp="clip.span"),
    ),
    Layout(
        "openvid",
        "OpenVid-1M: CSV with names of files, which are in zip archives",
        ColumnNames(videoid="video", name="caption", contentUrl="video"),
    ),
    Layout(
        "msrvtt",
        "MSR-VTT: JSON with sentences, and videos of YouTube with one span each",
        ColumnNames(
            videoid="video_id",
            name="caption",
            contentUrl="url",
            start="start time",
            end="end time",
            join="videos",
        ),
        frozenset({"videos", "sentences"}),
    ),
    Layout(
        "msrvtt-files",
        "MSR-VTT with its distributed files, which are cut: VIDEOS/VIDEO_ID.mp4",
        ColumnNames(videoid="video_id", name="caption"),
    ),
    Layout(
        "vatex",
        "VATEX: JSON with ten English captions a video; files are VIDEOS/VIDEOID.mp4",
        ColumnNames(videoid="videoID", name="enCap"),
    ),
    Layout(
        "activitynet",
        "ActivityNet Captions: JSON with times and sentences by id; files are VIDEOS/ID.mp4",
        ColumnNames(videoid="videoid", name="sentences", timestamp="timestamps"),
    ),
    Layout(
        "huggingface",
        "Parquet of Hugging Face's datasets with a feature Video: its bytes are the videos",
        ColumnNames(videoid="video.path", name="caption", video_bytes="video.bytes"),
    ),
)
LAYOUTS: Final[Mapping[str, Layout]] = {layout.name: layout for layout in _LAYOUTS}


def named_layout(name: str) -> Layout:
    """The layout of this name. Raises ValueError that names the known ones."""
    if name not in LAYOUTS:
        raise ValueError(f"{name!r} is no layout; {', '.join(LAYOUTS)} are")
    return LAYOUTS[name]


def fitting_layout(columns: set[str]) -> Layout | None:
    """The layout that a table with these columns has, by the most names that differ from WebVid's."""
    fitting = [layout for layout in _LAYOUTS[1:] if layout.fits(columns)]
    return max(fitting, key=lambda layout: len(layout.names()), default=None)
