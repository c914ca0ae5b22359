"""The user's pictures come in as they look: colours, depth, rotation, transparency; all else is refused."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from core.errors import AnimaticError
from orchestration.pictures import PictureLimits, PictureTooLargeError, open_picture, read_picture
from tests.support.colour_profiles import cmyk_profile, grey_profile, rgb_profile


def colour_of(path) -> list[int]:
    """The colour of a plain picture."""
    pixels = np.array(open_picture(path)).reshape(-1, 3)
    assert (pixels == pixels[0]).all()
    return pixels[0].tolist()


def test_a_wide_picture_is_cropped_at_its_centre(tmp_path):
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    tensor = read_picture(tmp_path / "wide.png", 32, 32)
    assert tuple(tensor.shape) == (1, 3, 32, 32)
    assert tensor[..., 4:28].min() == 1.0


def test_transparency_becomes_white_and_rotation_is_applied(tmp_path):
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png", 32, 32).min() == 1.0
    tall = np.zeros((64, 64, 3), np.uint8)
    tall[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(tall).save(tmp_path / "turned.jpg", exif=exif)
    turned = read_picture(tmp_path / "turned.jpg", 32, 32)
    assert turned[0, 0, 0].mean() < -0.9 < 0.9 < turned[0, 0, -1].mean()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "no image at"),
        ("text.png", b"not an image", "not an image in PNG, JPEG or WebP"),
        ("vector.gif", b"GIF89a" + bytes(20), "not an image in PNG, JPEG or WebP"),
    ],
)
def test_a_file_that_is_no_image_is_refused_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AnimaticError, match=message):
        read_picture(tmp_path / name, 32, 32)


def test_cut_off_and_huge_pictures_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with pytest.raises(AnimaticError, match="cannot be read"):
        read_picture(tmp_path / "cut.png", 32, 32)
    Image.new("1", (10_000, 6_000)).save(tmp_path / "huge.png")
    with pytest.raises(AnimaticError, match="megapixels"):
        read_picture(tmp_path / "huge.png", 32, 32)


def test_16_bit_grey_becomes_8_bits(tmp_path):
    ramp = np.linspace(0, 65535, 256 * 16).astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    found = np.array(open_picture(tmp_path / "grey.png"))
    assert np.abs(found[..., 0] - ramp / 257.0).max() <= 0.5
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 1] == found[..., 2]).all()


def test_a_transparent_value_of_16_bit_grey_becomes_white(tmp_path):
    pixels = np.full((8, 8), 257 * 40, np.uint16)
    pixels[:4] = 257 * 40 + 1
    Image.fromarray(pixels).save(tmp_path / "grey.png", transparency=257 * 40)
    found = np.array(open_picture(tmp_path / "grey.png"))[..., 0]
    assert (found[:4] == 40).all() and (found[4:] == 255).all()


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, to 0..255."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# Columns of sRGB's matrix to XYZ, adapted to D50.
SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]]).T
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_profile_of_other_primaries_is_converted_to_srgb(tmp_path, kind, alpha):
    stored = np.array([201, 56, 48])
    wanted = srgb(np.linalg.inv(SRGB) @ P3 @ (stored / 255.0) ** 2.2)
    assert np.abs(wanted - stored).max() > 10
    picture = Image.new("RGB", (32, 32), tuple(stored))
    if alpha and kind != "jpg":
        picture.putalpha(255)
    options = (
        {"quality": 100, "subsampling": 0} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}
    )
    picture.save(tmp_path / f"p3.{kind}", icc_profile=rgb_profile(), **options)
    assert np.abs(colour_of(tmp_path / f"p3.{kind}") - wanted).max() <= 2


def test_a_profile_of_srgb_changes_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "srgb.png", icc_profile=profile)
    assert (np.array(open_picture(tmp_path / "srgb.png")) == pixels).all()


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_converted_to_srgb(tmp_path, mode):
    picture = Image.new("L", (16, 16), 55)
    if mode == "I;16":
        picture = Image.fromarray(np.full((16, 16), 55 * 257, np.uint16))
    elif mode == "LA":
        picture.putalpha(255)
    picture.save(tmp_path / "grey.png", icc_profile=grey_profile(gamma=1.0))
    assert np.abs(colour_of(tmp_path / "grey.png") - srgb(np.array(55 / 255))).max() <= 2


def test_a_cmyk_profile_is_converted_to_srgb(tmp_path):
    profile = cmyk_profile(lightness=(100, 60, 70, 80, 20))
    for inks, lightness in (((0, 0, 0, 0), 100), ((255, 0, 0, 0), 60), ((0, 0, 0, 255), 20)):
        path = tmp_path / "print.jpg"
        Image.new("CMYK", (16, 16), inks).save(path, quality=100, icc_profile=profile)
        luminance = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
        assert np.abs(colour_of(path) - srgb(np.array(luminance))).max() <= 4
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "plain.jpg", quality=100)
    assert np.abs(np.array(colour_of(tmp_path / "plain.jpg")) - (255, 0, 0)).max() <= 2


def test_a_grey_picture_with_an_rgb_profile_is_read(tmp_path):
    Image.new("L", (16, 16), 128).save(tmp_path / "grey.jpg", icc_profile=rgb_profile())
    assert np.ptp(colour_of(tmp_path / "grey.jpg")) <= 1


@pytest.mark.parametrize(
    ("mode", "profile", "message"),
    [
        (
            "RGB",
            cmyk_profile((100, 60, 70, 80, 20)),
            "has RGB pixels and a colour profile for CMYK: export it",
        ),
        ("RGB", b"nonsense", "has a damaged colour profile"),
        ("RGB", rgb_profile()[:200], "has a damaged colour profile"),
    ],
)
def test_a_profile_that_cannot_be_used_is_named(tmp_path, mode, profile, message):
    Image.new(mode, (16, 16)).save(tmp_path / "a.png", icc_profile=profile)
    with pytest.raises(AnimaticError, match=message):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_every_exif_rotation_is_applied(tmp_path, kind, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24], upright[:16, 24:], upright[16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    flipped = upright if orientation in (1, 3, 6, 8) else upright[:, ::-1]
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(flipped, turns))).save(
        tmp_path / f"a.{kind}", exif=exif, quality=95
    )
    found = np.array(open_picture(tmp_path / f"a.{kind}")).astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright)[4:12, 4:20].max() < 40 and np.abs(found - upright).mean() < 12


def test_the_size_of_a_picture_over_the_limit_is_named_with_the_limit(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(AnimaticError, match=r"is 20000x10000 pixels \(200 megapixels\); the limit is 50"):
        open_picture(tmp_path / "huge.png")


def test_bytes_are_read_as_a_file_is_and_named_as_the_caller_does(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert (np.array(open_picture(content)) == np.array(open_picture(tmp_path / "a.png"))).all()
    with pytest.raises(AnimaticError, match=r"^first cannot be read as an image"):
        open_picture(content[:800], name="first")


def test_the_limits_of_a_caller_bound_pixels_and_sides(tmp_path):
    Image.new("1", (300, 20)).save(tmp_path / "wide.png")
    assert open_picture(tmp_path / "wide.png", limits=PictureLimits(6000, 300)).size == (300, 20)
    with pytest.raises(PictureTooLargeError, match=r"the limit is 0\.005999 megapixels"):
        open_picture(tmp_path / "wide.png", limits=PictureLimits(5999, 300))
    with pytest.raises(PictureTooLargeError, match="the longest side may have 299"):
        open_picture(tmp_path / "wide.png", limits=PictureLimits(6000, 299))


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    for name in ("a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(np.array(open_picture(tmp_path / name)) - (250.0, 0, 0)).max() <= 8


def test_a_mutated_picture_is_read_or_refused_in_one_line(tmp_path):
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "title"
    pictures = []
    for kind, modes in (
        ("PNG", ("1", "L", "LA", "P", "RGBA")),
        ("JPEG", ("L", "RGB", "CMYK")),
        ("WEBP", ("RGBA",)),
    ):
        for mode in modes:
            file = io.BytesIO()
            noise = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8))
            more = {"pnginfo": _text()} if kind == "PNG" else {}
            noise.convert(mode).save(file, kind, exif=exif, **more)
            pictures.append(file.getvalue())
    path = tmp_path / "x"
    for number in range(900):
        content = bytearray(pictures[number % len(pictures)])
        for _ in range(random.integers(1, 5)):
            content[random.integers(len(content))] = random.integers(256)
        path.write_bytes(content[: random.integers(len(content))] if number % 5 == 0 else content)
        try:
            assert open_picture(path).mode == "RGB"
        except AnimaticError as error:
            assert "\n" not in str(error)


def _text() -> PngInfo:
    info = PngInfo()
    info.add_text("comment", "a" * 100, zip=True)
    return info
