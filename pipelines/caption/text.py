"""What a model writes → a caption."""


def clean_caption(text: str, prompt: str, longest: int) -> str | None:
    """A caption on one line of at most ``longest`` characters, None where nothing is left of the text.

    A prompt that the model repeats first is removed, and characters that cannot be stored.
    """
    words = _one_line(text)
    repeated = _one_line(prompt)
    rest = words[len(repeated) :]
    if repeated and words[: len(repeated)].casefold() == repeated.casefold() and not rest[:1].isalnum():
        words = rest.strip()
    if len(words) > longest:
        cut = words[: longest + 1]
        # Before the last word that does not fit; a single word is cut.
        words = cut.rpartition(" ")[0] or cut[:longest]
    return words or None


def _one_line(text: str) -> str:
    storable = text.encode("utf-8", "ignore").decode().replace("\0", "")
    return " ".join(storable.split())
