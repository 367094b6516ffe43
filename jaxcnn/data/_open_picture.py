"""Image files as decoded Pillow images: which files are opened, which are refused, and why."""

import io
import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow reads many more, some by starting other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_READ = "PNG, JPEG, WebP, GIF, BMP and TIFF are read"
# Exceptions of Pillow, by format, for truncated or invalid data.
_DAMAGED = (OSError, EOFError, IndexError, KeyError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_PNG_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # texts that may contain the orientation


def open_picture(file: str | Path | bytes, *, name: str | None = None, frame: bool = False) -> Image.Image:
    """The decoded image in a file, or in the bytes of one, upright.

    The content decides the format, not the name. A file is damaged only if its pixels cannot be decoded: texts, colour
    profiles and EXIF data that Pillow refuses are left out. An image with more pixels than
    ``PIL.Image.MAX_IMAGE_PIXELS`` is refused before it is decoded.

    Args:
        file: its path, or its content.
        name: of the file in error messages; by default the path.
        frame: whether it is one frame of a video, so that a file with several images is refused. Otherwise the first
            of these is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file, cannot be read, has another format, is damaged, has too many pixels, or has
            several images where it is a frame.
    """
    name = name or str(file)
    if isinstance(file, bytes):
        return _decoded(io.BytesIO(file), name, frame=frame)
    with _opened(Path(file), name) as handle:
        return _decoded(handle, name, frame=frame)


def _opened(path: Path, name: str) -> BinaryIO:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ValueError(f"{name} is a folder; name an image file in it.")
        if not stat.S_ISREG(kind):  # to open a pipe would wait for its writer
            raise ValueError(f"{name} is a pipe, a socket or a device, not an image file.")
        return path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no image file {name}.") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror or error}.") from None


def _decoded(file: BinaryIO, name: str, *, frame: bool) -> Image.Image:
    try:
        picture = _loaded(file)
    except UnidentifiedImageError:
        file.seek(0)
        raise ValueError(
            f"{name} is not an image that can be read: it begins with {file.read(12)!r}. {_READ}; convert it, or leave "
            f"it out."
        ) from None
    except _TOO_LARGE as error:
        raise ValueError(
            f"{name} is too large to be decoded safely: {error} Shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from None
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
    else:
        if frame and (count := getattr(picture, "n_frames", 1)) > 1:
            raise ValueError(f"{name} has {count} images. The folder of a video has one file for each frame.")
        return _upright(picture)
    file.seek(0)
    content = file.read()
    for kept in (_PNG_ORIENTATION, ()):
        if len(shorter := _without_texts(content, kept)) < len(content):
            try:
                return _upright(_loaded(io.BytesIO(shorter)))
            except _DAMAGED:
                pass
    raise ValueError(f"{name} is damaged or cut short ({reason}). Copy it again from its source, or leave it out.")


def _loaded(file: BinaryIO) -> Image.Image:
    picture = Image.open(file, formats=FORMATS)
    most, pixels = Image.MAX_IMAGE_PIXELS, picture.width * picture.height
    if most is not None and pixels > most:  # up to twice as many, Pillow itself only warns
        raise Image.DecompressionBombError(
            f"{picture.width} x {picture.height} = {pixels:,} pixels, but at most {most:,} are decoded."
        )
    picture.load()
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # Pillow raises various exceptions for invalid EXIF data; the pixels are already decoded
        return picture


def _without_texts(content: bytes, kept: tuple[bytes, ...]) -> bytes:
    """A PNG file without its texts and colour profile, which Pillow refuses when they are large.

    Args:
        content: the file; one of another format is returned unchanged.
        kept: the beginnings of texts that stay.
    """
    if not content.startswith(_PNG):
        return content
    parts, start = [_PNG], len(_PNG)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        kind, stop = content[start + 4 : start + 8], start + 12 + length
        if kind not in _PNG_TEXT or content.startswith(kept, start + 8):
            parts.append(content[start:stop])
        start = stop
    return b"".join(parts)
