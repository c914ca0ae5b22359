"""What the text encoder reads of a caption."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

TOKENS = 77  # that CLIP reads, of which the first and the last mark beginning and end
_READ = TOKENS - 2


def unread_words(caption: str) -> str:
    """The end of a caption that CLIP does not read, as its tokenizer spells it; empty where all is read."""
    return clip_tokenizer().decode(clip_tokenizer().encode(caption)[_READ:]).strip()


@cache
def clip_tokenizer() -> "SimpleTokenizer":
    """CLIP's tokenizer: one for the process, since reading its merges takes a tenth of a second."""
    # Imported here: it takes seconds.
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()
