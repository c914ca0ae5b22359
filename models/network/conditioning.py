"""The contract of the UNet's context, and the context projected once for many forward passes.

Text and image tokens are separate. Either is shared by all frames of a clip, (b n c), or given per frame,
(b t n c). Inside the network both are rows (r n c) with r = b or b·t: attention lets the frames of a clip
share a row, so that nothing is repeated.
"""

from dataclasses import dataclass

from einops import rearrange, repeat
from torch import Tensor

from core.errors import AnimaticError

# Keys and values (r m h·d) of one attention.
KeyValue = tuple[Tensor, Tensor]
# What an attention reads: tokens (r m context_dim), or what it projected from them before.
Tokens = Tensor | KeyValue
# Text and image as one layer of the network gets them; None where the image branch is not in use.
LayerContext = tuple[Tokens, Tokens | None]


@dataclass(frozen=True)
class ProjectedContext:
    """Keys and values of a whole network for one context; see ``UNet.project``.

    Attributes:
        layers: (text, image) per layer of the network, in the order of computation; a layer without attention
            has the tokens themselves, which it does not read.
        batch: samples b.
        frames: t where a part is given per frame, None where all of it is shared.
    """

    layers: tuple[LayerContext, ...]
    batch: int
    frames: int | None

    def check(self, batch: int, frames: int) -> None:
        """Raise AnimaticError where latents of ``batch`` samples and ``frames`` frames do not fit it."""
        if self.batch != batch or self.frames not in (None, frames):
            projected = f"{self.batch} samples" + (f" of {self.frames} frames" if self.frames else "")
            raise AnimaticError(
                f"the context was projected for {projected}, the latents are of {batch} samples of {frames}: "
                "project the context of these latents"
            )


def token_rows(kind: str, tokens: Tensor, batch: int, frames: int | None, width: int) -> Tensor:
    """Rows of context tokens: (b n c) as they are, (b t n c) as (b·t n c).

    Args:
        kind: "text" or "image", for messages.
        frames: of the clip; None accepts any number.
        width: c, the network's context_dim.

    Raises:
        AnimaticError: naming the shapes, where the tokens are of another batch, frame count or width.
    """
    shape = tuple(tokens.shape)
    expected = f"({batch}, tokens, {width}) or ({batch}, {frames or 'frames'}, tokens, {width})"
    fits = (
        tokens.dim() in (3, 4)
        and (shape[0], shape[-1]) == (batch, width)
        and (tokens.dim() == 3 or frames is None or shape[1] == frames)
    )
    if not fits:
        raise AnimaticError(
            f"{kind} context of shape {shape} does not fit the latents and the network: {expected} expected"
        )
    return tokens if tokens.dim() == 3 else rearrange(tokens, "b t n c -> (b t) n c")


def repeat_over_time(latent: Tensor, frames: int) -> Tensor:
    """A condition's latent (b c h w) at every frame: (b c t h w)."""
    return repeat(latent, "b c h w -> b c t h w", t=frames)
