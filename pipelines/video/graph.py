"""FFmpeg's filters, with the same bits on every machine."""

from collections.abc import Sequence

import av
import av.filter

# swscale's faster paths differ from one kind of processor to another.
EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"


def filter_graph(frame: av.VideoFrame, filters: Sequence[str]) -> av.filter.Graph:
    """A configured chain of filters, each as ``name=arguments``, for frames like this one."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/90000"
        f":pixel_aspect=1/1:colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    )
    nodes = [graph.add("buffer", source)]
    for text in filters:
        name, _, args = text.partition("=")
        nodes.append(graph.add(name, args or None))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph
