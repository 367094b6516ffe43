"""Image files of every mode and size; a file that is not an image is refused by name."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from jaxcnn._errors import ShapeError
from jaxcnn.data._digits import digits
from jaxcnn.data._images import fit, is_grey, read_image

GENERATOR = np.random.default_rng(7)
COLOUR = GENERATOR.integers(0, 256, (6, 5, 3), np.uint8)
GREY = GENERATOR.integers(0, 256, (6, 5), np.uint8)
SHAPE = (6, 5, 3)


def write(folder: Path, picture: Image.Image | np.ndarray, name: str = "x.png", **options: object) -> Path:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(folder / name, **options)
    return folder / name


def luma(colour: np.ndarray) -> np.ndarray:
    return colour @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.webp", "x.gif"])
def test_lossless_formats_give_the_bytes_that_were_written(tmp_path: Path, name: str) -> None:
    picture = Image.fromarray(GREY).convert("RGB") if name == "x.gif" else Image.fromarray(COLOUR)
    path = write(tmp_path, picture, name, **({"lossless": True} if name == "x.webp" else {}))
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), np.asarray(picture))


def test_grey_becomes_three_equal_channels_and_colour_becomes_luma(tmp_path: Path) -> None:
    grey, colour = write(tmp_path, GREY, "grey.png"), write(tmp_path, COLOUR, "colour.png")
    np.testing.assert_array_equal(read_image(grey, image_shape=SHAPE), np.stack([GREY] * 3, axis=-1))
    np.testing.assert_array_equal(read_image(grey, image_shape=(6, 5, 1))[..., 0], GREY)
    found = read_image(colour, image_shape=(6, 5, 1))[..., 0]
    assert np.abs(found - luma(COLOUR)).max() < 1


def test_what_is_transparent_is_black_and_after_inversion_too(tmp_path: Path) -> None:
    alpha = GENERATOR.integers(0, 256, (6, 5, 1), np.uint8)
    alpha[0] = 0
    path = write(tmp_path, np.concatenate([COLOUR, alpha], axis=-1))
    share = alpha / 255
    found = read_image(path, image_shape=SHAPE)
    assert np.abs(found - COLOUR * share).max() <= 1
    turned = read_image(path, image_shape=SHAPE, invert=True)
    assert np.abs(turned - (255.0 - COLOUR) * share).max() <= 1
    assert not found[0].any() and not turned[0].any()


def test_grey_with_alpha(tmp_path: Path) -> None:
    alpha = GENERATOR.integers(0, 256, (6, 5), np.uint8)
    path = write(tmp_path, Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]))
    found = read_image(path, image_shape=(6, 5, 1))[..., 0]
    assert np.abs(found - GREY * (alpha / 255)).max() <= 1


def test_palettes_with_and_without_a_transparent_entry(tmp_path: Path) -> None:
    index = (np.arange(30).reshape(6, 5) % 4).astype(np.uint8)
    colours = np.array([[250, 10, 20], [0, 255, 0], [7, 8, 9], [200, 200, 100]], np.uint8)
    picture = Image.fromarray(index)
    picture.putpalette(colours.tobytes())
    expected = colours[index]
    np.testing.assert_array_equal(read_image(write(tmp_path, picture), image_shape=SHAPE), expected)
    path = write(tmp_path, picture, "clear.png", transparency=1)
    expected[index == 1] = 0
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), expected)
    path = write(tmp_path, picture, "shades.png", transparency=bytes([255, 0, 255, 255]))
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), expected)


def test_black_and_white_and_a_colour_that_stands_for_transparent(tmp_path: Path) -> None:
    bits = GREY > 127
    found = read_image(write(tmp_path, Image.fromarray(bits)), image_shape=(6, 5, 1))[..., 0]
    np.testing.assert_array_equal(found, np.where(bits, 255, 0))
    clear = tuple(int(value) for value in COLOUR[2, 3])
    found = read_image(write(tmp_path, COLOUR, "key.png", transparency=clear), image_shape=SHAPE)
    expected = COLOUR.copy()
    expected[2, 3] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = GENERATOR.integers(0, 65536, (6, 5), np.uint16)
    deep[0, :3] = 0, 256, 65535
    found = read_image(write(tmp_path, deep, name), image_shape=(6, 5, 1))[..., 0]
    np.testing.assert_array_equal(found, np.floor(deep / 257.0 + 0.5))


def test_colour_of_sixteen_bits(tmp_path: Path) -> None:
    """Pillow cannot write such files, so the file is made by hand: header, one compressed block of rows, end."""
    deep = GENERATOR.integers(0, 65536, (6, 5, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 5, 6, 16, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (tmp_path / "deep.png").write_bytes(content)
    found = read_image(tmp_path / "deep.png", image_shape=SHAPE)
    assert np.abs(found - deep / 257.0).max() <= 1


def test_cmyk(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1] = 255  # all magenta
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(ink, -1, 0)]
    path = write(tmp_path, Image.merge("CMYK", planes), "x.jpg")
    found = read_image(path, image_shape=(16, 16, 3)).astype(int)
    assert np.abs(found - [255, 0, 255]).max() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Orientation 6 means that the image has to be rotated clockwise; the test covers all eight orientations."""
    turn = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path, COLOUR, exif=exif)
    expected = turn(COLOUR)
    np.testing.assert_array_equal(read_image(path, image_shape=expected.shape), expected)


def test_invert(tmp_path: Path) -> None:
    found = read_image(write(tmp_path, GREY), image_shape=(6, 5, 1), invert=True)[..., 0]
    np.testing.assert_array_equal(found, 255 - GREY)


def test_the_first_of_several_frames_is_taken(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((6, 5), value, np.uint8)) for value in (50, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "x.gif", image_shape=(6, 5, 1)) == 50).all()


@pytest.mark.parametrize(
    ("size", "top", "left", "inner"),
    [((12, 12), 0, 1, (12, 10)), ((6, 15), 0, 5, (6, 5)), ((3, 9), 0, 3, (3, 2)), ((20, 5), 7, 0, (6, 5))],
)
def test_other_sizes_keep_their_proportions_in_a_margin_of_zeros(
    size: tuple[int, int], top: int, left: int, inner: tuple[int, int]
) -> None:
    bright = np.maximum(COLOUR, 1)
    found = fit(bright, size)
    assert found.shape == (*size, 3)
    seen = np.zeros(size, bool)
    seen[top : top + inner[0], left : left + inner[1]] = True
    np.testing.assert_array_equal(found.any(-1), seen)
    if inner == (6, 5):
        np.testing.assert_array_equal(found[seen], bright.reshape(-1, 3))


def test_shrinking_averages_all_pixels() -> None:
    """Single black lines every four pixels: a method that reads only nearby pixels would lose them or keep them all."""
    lines = np.full((64, 64, 1), 255, np.uint8)
    lines[::4] = 0
    assert np.abs(fit(lines, (8, 8)).astype(float)[1:-1] - 255 * 3 / 4).max() < 8


def test_enlarging_is_what_was_done_to_the_digits() -> None:
    """The model reads a digit that a user draws with 8x8 pixels as it read the digits during training."""
    small, large = digits(8).test["image"], digits(32).test["image"]
    found = np.stack([fit(image, (32, 32)) for image in small])
    assert np.abs(found.astype(int) - large.astype(int)).max() <= 1


def test_a_very_thin_picture_keeps_a_pixel() -> None:
    assert fit(np.full((1, 400, 1), 99, np.uint8), (8, 8)).max() == 99


def test_greys_are_recognised() -> None:
    assert is_grey(Image.fromarray(GREY)) and not is_grey(Image.fromarray(COLOUR))
    palette = Image.fromarray(GREY % 3)
    palette.putpalette(bytes([1, 1, 1, 90, 90, 90, 7, 7, 7]))
    assert is_grey(palette)
    palette.putpalette(bytes([1, 1, 1, 90, 90, 91, 7, 7, 7]))
    assert not is_grey(palette)


def png_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GENERATOR.integers(0, 256, (64, 64), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"not a picture",
            "bad.png is not an image that can be read: it begins with b'not a pictur'. PNG, JPEG, WebP, GIF, BMP and",
        ),
        (b"", "bad.png is not an image that can be read: it begins with b''"),
        (png_bytes()[:1000], "bad.png is damaged or cut short (image file is truncated"),
        (png_bytes()[:20], "bad.png is "),
        (png_bytes().replace(b"IDAT", b"IDAX"), "bad.png is not an image that can be read"),
    ],
    ids=["text", "empty", "half", "only a header", "wrong chunk"],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_image(path, image_shape=SHAPE)


@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.tif", "x.gif", "x.bmp"])
def test_files_cut_short_are_refused_whatever_their_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, GENERATOR.integers(0, 256, (64, 64), np.uint8), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=re.escape(f"{path} is ")):
        read_image(path, image_shape=SHAPE)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no image file {tmp_path / 'absent.png'}")):
        read_image(tmp_path / "absent.png", image_shape=SHAPE)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} is a folder; name an image file in it")):
        read_image(tmp_path, image_shape=SHAPE)


def test_pixels_without_a_white(tmp_path: Path) -> None:
    path = write(tmp_path, GREY.astype(np.float32), "x.tif")
    with pytest.raises(ValueError, match=re.escape(f"{path} has pixels from")):
        read_image(path, image_shape=SHAPE)
    path = write(tmp_path, GREY.astype(np.int32) + 70000, "y.tif")
    with pytest.raises(ValueError, match=r"the value of white is not known\. Write it with 8 or 16 bits"):
        read_image(path, image_shape=SHAPE)


def test_colours_that_pillow_cannot_convert(tmp_path: Path) -> None:
    path = write(tmp_path, Image.new("LAB", (4, 4)), "x.tif")
    with pytest.raises(ValueError, match=re.escape(f"{path}: conversion from LAB to RGB not supported. Write it as")):
        read_image(path, image_shape=(4, 4, 1))


@pytest.mark.parametrize("most", [10, 29])
def test_more_pixels_than_pillow_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """For up to twice as many pixels Pillow only gives a warning, and here warnings are errors."""
    path = write(tmp_path, COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(ValueError, match=re.escape(f"{path} is too large to be decoded safely")):
        read_image(path, image_shape=SHAPE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_image(path, image_shape=SHAPE).shape == SHAPE


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """177 megapixels in 21 kB, in a process with little memory, where Pillow's warning is ignored."""
    path = write(tmp_path, Image.new("1", (13312, 13312)))
    assert path.stat().st_size < 30_000
    code = f"""
import resource, warnings
from jaxcnn.data import read_image
warnings.simplefilter("ignore")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_image({str(path)!r}, image_shape=(8, 8, 1))
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    message, kilobytes = done.stdout.splitlines()
    assert "13312 x 13312 = 177,209,344 pixels, but at most 89,478,485 are decoded. Shrink it" in message
    assert int(kilobytes) < 100_000


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TGA", "ICO", "PCX"])
def test_other_formats_are_refused_whatever_the_name(tmp_path: Path, kind: str) -> None:
    """Pillow would read these files, and start Ghostscript for the first one."""
    path = tmp_path / "x.png"
    Image.new("RGB", (16, 16)).save(path, kind)
    with pytest.raises(ValueError, match=r"x\.png is not an image that can be read: .*; convert it, or leave it out"):
        read_image(path, image_shape=SHAPE)


def test_the_content_decides_the_format(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "x.jpg", "PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "x.jpg", image_shape=SHAPE), COLOUR)
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.png", "MPO", save_all=True, append_images=frames[1:])  # the JPEG of some cameras
    assert read_image(tmp_path / "x.png", image_shape=(16, 16, 3))[8, 8].tolist() == [254, 0, 0]


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ValueError, match=re.escape(f"{path} is a pipe, a socket or a device, not an image file")):
            read_image(path, image_shape=SHAPE)


def with_text(kind: str) -> dict[str, object]:
    """Options of ``save`` that put more text into a PNG file than Pillow accepts."""
    info = PngImagePlugin.PngInfo()
    if kind == "zTXt":
        info.add_text("Comment", "a" * 2_000_000, zip=True)
    if kind == "iTXt":
        info.add_itxt("Comment", "a" * 2_000_000, zip=True)
    if kind == "XMP":
        info.add_itxt("XML:com.adobe.xmp", "a" * 2_000_000, zip=True)
    return {"icc_profile": b"a" * 2_000_000} if kind == "iCCP" else {"pnginfo": info}


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP", "XMP"])
def test_much_text_is_no_damage(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, COLOUR, **with_text(kind))
    with pytest.raises(ValueError, match="MAX_TEXT_CHUNK"):
        Image.open(path).load()
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), COLOUR)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"x\.png is damaged or cut short \("):
        read_image(path, image_shape=SHAPE)


def test_beside_much_text_a_picture_is_still_turned_upright(tmp_path: Path) -> None:
    options = with_text("zTXt")
    options["pnginfo"].add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>')  # type: ignore[attr-defined]
    path = write(tmp_path, COLOUR, **options)
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), np.rot90(COLOUR, 2))


@pytest.mark.parametrize("name", ["x.png", "x.webp"])
def test_exif_data_that_make_no_sense_are_no_damage(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "x.webp" else {}
    path = write(tmp_path, COLOUR, name, exif=b"no EXIF data", **options)
    np.testing.assert_array_equal(read_image(path, image_shape=SHAPE), COLOUR)


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (
            (28, 28),
            ShapeError,
            "read_image: image_shape must be (height, width, channels), such as (32, 32, 1): (28, 28)",
        ),
        (28, ShapeError, "read_image: image_shape must be (height, width, channels)"),
        ((28, 28, 4), ShapeError, "read_image: images have 1 channel (grey) or 3 (colour), not 4"),
        ((0, 28, 1), ShapeError, "read_image: image_shape=(0, 28, 1) must be at least 1"),
        ((28.0, 28, 1), TypeError, "read_image: image_shape must be an integer, not 28.0"),
    ],
)
def test_what_is_no_image_shape(tmp_path: Path, shape: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        read_image(write(tmp_path, GREY), image_shape=shape)  # type: ignore[arg-type]


def test_a_transparent_value_of_16_bits(tmp_path: Path) -> None:
    values = np.array([[0, 2570, 65535, 51400]], np.uint16)
    path = write(tmp_path, Image.fromarray(values), "deep.png", transparency=65535)
    np.testing.assert_array_equal(read_image(path, image_shape=(1, 4, 1)).ravel(), [0, 10, 0, 200])
