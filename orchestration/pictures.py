"""The user's pictures: opened safely, upright, in sRGB, at the size of the network."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from core.errors import AnimaticError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_PIXELS = 50_000_000
# Opened by format and not by Image.open, which refuses large pictures without naming their size.
_OPENERS = (PngImageFile, jpeg_factory, WebPImageFile)
# What Pillow raises for damaged pixels and metadata.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError, struct.error)
# The mode of pixels that a profile of each colour space describes.
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


def read_picture(path: Path, height: int, width: int) -> Tensor:
    """:func:`to_tensor` of :func:`open_picture`."""
    return to_tensor(open_picture(path), height, width)


def to_tensor(picture: Image.Image, height: int, width: int) -> Tensor:
    """An RGB picture, scaled to cover ``height`` x ``width`` and centre-cropped: (1 3 h w) in [-1, 1]."""
    import torch

    from models.pixels import to_signed

    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return to_signed(torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None])


def open_picture(path: Path) -> Image.Image:
    """The picture at ``path``: upright, 8-bit sRGB, on white where it is transparent.

    Raises:
        AnimaticError: missing, not a PNG, JPEG or WebP, damaged, larger than 50 megapixels, or with a colour
            profile that cannot be used.
    """
    try:
        with path.open("rb") as file, _opened(path, file) as picture:
            width, height = picture.size
            if width * height > LARGEST_PIXELS:
                raise AnimaticError(
                    f"{path} is {width}x{height} pixels ({width * height / 1e6:.0f} megapixels); the limit "
                    f"is {LARGEST_PIXELS / 1e6:.0f} megapixels: scale it down first"
                )
            profile = picture.info.get("icc_profile")
            colours, alpha = _separated(ImageOps.exif_transpose(picture))
        rgb = _in_srgb(path, colours, profile)
    except FileNotFoundError as error:
        raise AnimaticError(f"no image at {path}") from error
    except Image.DecompressionBombError as error:  # from a header that contradicts another one
        raise AnimaticError(f"{path} claims more than {LARGEST_PIXELS / 1e6:.0f} megapixels") from error
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or error
        raise AnimaticError(
            f"{path} cannot be read as an image ({reason}): convert or re-export it"
        ) from error
    if alpha is None:
        return rgb
    rgb.putalpha(alpha)
    white = Image.new("RGBA", rgb.size, "white")
    return Image.alpha_composite(white, rgb).convert("RGB")


def _opened(path: Path, file: IO[bytes]) -> Image.Image:
    for opener in _OPENERS:
        file.seek(0)
        try:
            return opener(file)
        except SyntaxError:  # another format
            continue
    raise AnimaticError(f"{path} is not an image in PNG, JPEG or WebP format: convert it first")


def _separated(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours (mode L, RGB or CMYK, 8 bits) and transparency (L), if there is any."""
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow itself would clip at 255
        grey = np.asarray(picture, np.uint32)
        alpha = None if transparent is None else Image.fromarray(np.uint8(255) * (grey != transparent))
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)), alpha
    if "A" in picture.getbands() or transparent is not None:
        grey_only = picture.mode in ("1", "L", "LA")
        picture = picture.convert("LA" if grey_only else "RGBA")
        return picture.convert("L" if grey_only else "RGB"), picture.getchannel("A")
    if picture.mode in ("L", "CMYK"):
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def _in_srgb(path: Path, colours: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB, by the embedded colour profile if there is one."""
    if not profile:
        return colours.convert("RGB")
    try:
        embedded = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        if (colours.mode, space) == ("L", "RGB"):
            colours = colours.convert("RGB")
        if colours.mode != _PROFILE_MODES.get(space):
            raise AnimaticError(
                f"{path} has {colours.mode} pixels and a colour profile for {space}: export it in sRGB"
            )
        converted = ImageCms.profileToProfile(colours, embedded, _SRGB, outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise AnimaticError(f"{path} has a damaged colour profile ({error}): export it in sRGB") from error
    assert converted is not None  # only a conversion in place returns None
    return converted
