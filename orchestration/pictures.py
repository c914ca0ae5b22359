"""The user's pictures: opened safely, upright, in sRGB, at the size of the network."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from core.disk_errors import explain
from core.errors import AnimaticError

if TYPE_CHECKING:
    from torch import Tensor

# Opened by format and not by Image.open, which refuses large pictures without naming their size.
_OPENERS = (PngImageFile, jpeg_factory, WebPImageFile)
# What Pillow raises for damaged pixels and metadata.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError, struct.error)
# The mode of pixels that a profile of each colour space describes.
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class PictureLimits:
    """The largest picture that is opened: ``pixels`` in all, and of its longer ``side``."""

    pixels: int = 50_000_000
    side: int = 2**31 - 1  # of PNG, the format with the largest


LIMITS = PictureLimits()


class PictureTooLargeError(AnimaticError):
    """A picture with more pixels than are opened."""


def read_picture(path: Path, height: int, width: int) -> Tensor:
    """:func:`to_tensor` of :func:`open_picture`."""
    return to_tensor(open_picture(path), height, width)


def to_tensor(picture: Image.Image, height: int, width: int) -> Tensor:
    """An RGB picture, scaled to cover ``height`` x ``width`` and centre-cropped: (1 3 h w) in [-1, 1]."""
    import torch

    from models.pixels import to_signed

    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return to_signed(torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None])


def open_picture(
    source: Path | bytes, *, name: str | None = None, limits: PictureLimits = LIMITS
) -> Image.Image:
    """A picture, from a file or its bytes: upright, 8-bit sRGB, on white where it is transparent.

    Of an animation it is the first frame. Nothing is decoded of a picture whose header exceeds the limits.

    Args:
        name: of the picture in errors; the path if not given.

    Raises:
        PictureTooLargeError: more pixels than the limits allow.
        AnimaticError: missing, not a PNG, JPEG or WebP, damaged, or with a colour profile that cannot be
            used.
    """
    name = name or (str(source) if isinstance(source, Path) else "the picture")
    try:
        with _file(source) as file, _opened(name, file) as picture:
            _check_size(name, picture.size, limits)
            profile = picture.info.get("icc_profile")
            colours, alpha = _separated(ImageOps.exif_transpose(picture))
        rgb = _in_srgb(name, colours, profile)
    except FileNotFoundError as error:
        raise AnimaticError(f"no image at {name}") from error
    except Image.DecompressionBombError as error:  # from a header that contradicts another one
        raise PictureTooLargeError(f"{name} claims more than {limits.pixels / 1e6:.0f} megapixels") from error
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or error
        refusal = explain(error) if isinstance(error, OSError) else None
        raise AnimaticError(
            refusal or f"{name} cannot be read as an image ({reason}): convert or re-export it"
        ) from error
    if alpha is None:
        return rgb
    rgb.putalpha(alpha)
    white = Image.new("RGBA", rgb.size, "white")
    return Image.alpha_composite(white, rgb).convert("RGB")


def _file(source: Path | bytes) -> IO[bytes]:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _opened(name: str, file: IO[bytes]) -> Image.Image:
    for opener in _OPENERS:
        file.seek(0)
        try:
            return opener(file)
        except SyntaxError:  # another format
            continue
    raise AnimaticError(f"{name} is not an image in PNG, JPEG or WebP format: convert it first")


def _check_size(name: str, size: tuple[int, int], limits: PictureLimits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise PictureTooLargeError(
            f"{name} is {width}x{height} pixels ({width * height / 1e6:.0f} megapixels); the limit "
            f"is {limits.pixels / 1e6:.4g} megapixels: scale it down first"
        )
    if max(size) > limits.side:
        raise PictureTooLargeError(
            f"{name} is {width}x{height} pixels; the longest side may have {limits.side}: scale it down first"
        )


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


def _in_srgb(name: str, colours: Image.Image, profile: bytes | None) -> Image.Image:
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
                f"{name} has {colours.mode} pixels and a colour profile for {space}: export it in sRGB"
            )
        converted = ImageCms.profileToProfile(colours, embedded, _SRGB, outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise AnimaticError(f"{name} has a damaged colour profile ({error}): export it in sRGB") from error
    assert converted is not None  # only a conversion in place returns None
    return converted
