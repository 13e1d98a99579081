"""Pictures without TensorFlow: decoding by one stated rule, and the resize all formats share.

The graph twins of these functions are in `dlcv_tf/ops/images.py`.
"""

import io
import logging
import struct
import warnings

import numpy as np
from PIL import Image, PngImagePlugin

from dlcv_tf.errors import InputError

# Only formats that Pillow decodes itself: its EPS reader, for one, starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
# What the texts in one PNG file unfold to: Pillow's 64 MB are much for a file of 64 KB.
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 2**20
# What is wrong with a file is told to whoever sent it, not to the log as well. Warnings would also
# be kept, each text of them, for as long as the process runs.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"PIL\.")
ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(InputError):
    """A file that is no picture, is damaged, or is larger than allowed."""


class TooManyPixelsError(PictureError):
    """A picture of more pixels than the limit."""


def decode(data: bytes, channels: int = 3, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an encoded picture by the rule that training, export and serving share.

    A JPEG is turned upright by its EXIF orientation. Alpha is dropped; palette, CMYK and grey are
    converted; of 16 bits the high byte is kept; an animation gives its first frame. Grey is
    (19595 R + 38470 G + 7471 B + 32768) >> 16, ITU-R 601-2 in integers, as Pillow computes it.

    Args:
        data: the file's bytes: JPEG, PNG, GIF, BMP, WebP, TIFF or PPM.
        channels: 1 (grey) or 3 (RGB).
        max_pixels: larger pictures are refused; read from the header, before any decoding.

    Returns:
        (height, width, channels) uint8 picture.

    Raises:
        PictureError: for empty, truncated, over-limit files and for what is no picture.
    """
    if channels not in (1, 3):
        raise InputError(f"got channels={channels!r}, expected 1 (grey) or 3 (RGB)")
    image = _open(data, max_pixels)
    try:
        image.load()
        pixels = _eight_bits(image).convert("RGB")
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged file fails anywhere inside its decoder
        raise PictureError(
            f"got a damaged {image.format} picture ({error}), expected a whole one: it was cut "
            "short or changed on its way"
        ) from error
    orientation = _orientation(image)
    image.close()  # its own pixels, which may be many, are of no use any more
    if orientation in UPRIGHT:
        pixels = pixels.transpose(UPRIGHT[orientation])
    if channels == 1:
        pixels = pixels.convert("L")
    return np.array(pixels).reshape(pixels.height, pixels.width, channels)


def size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns height and width of an encoded picture as stored, read from its header alone.

    Raises:
        PictureError: for empty and over-limit files and for what is no picture.
    """
    image = _open(data, max_pixels)
    return image.height, image.width


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes pictures with antialiased bilinear weights, one axis after the other.

    Along an axis output pixel `i` is the mean of the input pixels `j` with the weights
    max(0, 1 - |j + 0.5 - (i + 0.5) scale| / max(scale, 1)), where scale = in / out. Equals
    `tf.image.resize(antialias=True)` to rounding. Pictures of that size already come back with
    their values as they are.

    Args:
        images: (batch, height, width, channels) pictures, any numeric type.
        size: output (height, width).

    Returns:
        (batch, *size, channels) float32 pictures.
    """
    batch, height, width, channels = images.shape
    if (height, width) == tuple(size):
        return images.astype(np.float32)
    resized = np.empty((batch, *size, channels), np.float32)
    for number, channel in np.ndindex(batch, channels):
        plane = Image.fromarray(np.ascontiguousarray(images[number, ..., channel], np.float32))
        # Pillow's bilinear filter has these weights, and does not round planes of floats.
        plane = plane.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        resized[number, ..., channel] = np.asarray(plane)
    return resized


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Reads a picture's header."""
    if not data:
        raise PictureError("got an empty file, expected a picture: send the file's bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"got too large a picture ({error}): scale it down") from error
    except Image.UnidentifiedImageError:
        raise PictureError(
            f"got {len(data)} bytes that are no picture, expected one of {', '.join(FORMATS)}"
        ) from None
    except Exception as error:
        raise PictureError(
            f"got a damaged picture header ({error}), expected one of {', '.join(FORMATS)}"
        ) from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"got a picture of {width} x {height} = {width * height / 1e6:.1f} megapixels, "
            f"expected at most {max_pixels / 1e6:g}: scale it down or raise the limit"
        )
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keeps the high byte of 16-bit grey; Pillow's own conversion would clip it to white."""
    if image.mode == "F":
        raise PictureError(
            "got floating-point pixels, whose range no one states: save 8 or 16-bit ones"
        )
    if not image.mode.startswith("I"):  # "I;16", "I;16B", ..., and "I" that holds 16 bits
        image.info.pop("transparency", None)  # alpha is dropped; Pillow would warn about it
        return image
    high = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
    return Image.fromarray(high.astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation of a JPEG, 1 where there is none that can be read."""
    # Only `exif` itself: Pillow's `getexif` also believes XMP, and other formats' own tags.
    if image.format not in ("JPEG", "MPO") or "exif" not in image.info:
        return 1
    exif = Image.Exif()
    try:
        exif.load(image.info["exif"])
    except (SyntaxError, ValueError, struct.error, OSError):
        return 1
    return exif.get(ORIENTATION_TAG, 1)
