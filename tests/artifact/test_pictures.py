"""Pictures: every kind a camera or a program writes, against pixels known from elsewhere."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from dlcv_tf.artifact import pictures
from dlcv_tf.artifact.pictures import PictureError
from tests.artifact import tiny

PICTURE = tiny.ramp(5, 7)


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """Encodes PNG by hand: Pillow writes no 16-bit colours, and no lies about the size."""

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_pixels(format):
    np.testing.assert_array_equal(pictures.decode(tiny.encoded(PICTURE, format)), PICTURE)


def test_lossless_webp_gives_the_pixels():
    data = tiny.encoded(PICTURE, "WEBP", lossless=True)
    np.testing.assert_array_equal(pictures.decode(data), PICTURE)


def test_grey_is_pillows_integer_luma():
    red, green, blue = PICTURE.astype(np.int64).transpose(2, 0, 1)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    np.testing.assert_array_equal(
        pictures.decode(tiny.encoded(PICTURE), channels=1)[..., 0], luma.astype(np.uint8)
    )


def test_a_grey_file_gives_three_equal_channels_or_one():
    grey = tiny.ramp(4, 6, 1)
    data = tiny.encoded(grey)
    np.testing.assert_array_equal(pictures.decode(data), np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(pictures.decode(data, channels=1), grey)


def test_alpha_is_dropped_not_blended():
    alpha = np.full((5, 7, 1), 3, np.uint8)
    with_alpha = Image.fromarray(np.concatenate([PICTURE, alpha], axis=2))
    np.testing.assert_array_equal(pictures.decode(tiny.encoded(with_alpha)), PICTURE)
    grey_alpha = Image.fromarray(PICTURE[..., 0]).convert("LA")
    np.testing.assert_array_equal(
        pictures.decode(tiny.encoded(grey_alpha), channels=1)[..., 0], PICTURE[..., 0]
    )


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80\xff"])
def test_a_palette_gives_its_colours(transparency):
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    options = {} if transparency is None else {"transparency": transparency}
    decoded = pictures.decode(tiny.encoded(image, **options))
    np.testing.assert_array_equal(decoded[0], [[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    np.testing.assert_array_equal(decoded[1], decoded[0][::-1])


def test_a_transparent_colour_is_kept():
    data = tiny.encoded(Image.fromarray(PICTURE), transparency=(0, 20, 40))
    np.testing.assert_array_equal(pictures.decode(data), PICTURE)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_keep_the_high_byte(channels):
    values = np.arange(24 * channels).reshape(4, 6, channels) * 600 + 255
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    decoded = pictures.decode(png(6, 4, 16, colour_type, rows))
    high = (values >> 8).astype(np.uint8)
    expected = np.repeat(high[..., :1], 3, axis=2) if channels < 3 else high[..., :3]
    np.testing.assert_array_equal(decoded, expected)


def test_sixteen_bit_tiff_keeps_the_high_byte():
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000
    decoded = pictures.decode(tiny.encoded(Image.fromarray(values), "TIFF"), channels=1)
    np.testing.assert_array_equal(decoded[..., 0], (values >> 8).astype(np.uint8))


def test_cmyk_is_converted():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    decoded = pictures.decode(tiny.encoded(image, "JPEG"))
    assert decoded.shape == (16, 16, 3)
    np.testing.assert_allclose(decoded[8, 8], [255, 0, 0], atol=3)


def test_one_bit_gives_black_and_white():
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    decoded = pictures.decode(tiny.encoded(image), channels=1)
    np.testing.assert_array_equal(decoded[..., 0], [[0, 255], [255, 0]])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    stream = io.BytesIO()
    frames[0].save(stream, format, save_all=True, append_images=frames[1:], **options)
    decoded = pictures.decode(stream.getvalue())
    np.testing.assert_array_equal(decoded, np.full((4, 6, 3), [255, 0, 0], np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(orientation):
    # Four flat quarters, so that JPEG's losses do not hide which corner is which.
    quarters = np.array([[20, 90], [160, 230]], np.uint8).repeat(16, axis=0).repeat(24, axis=1)
    # How a camera stores what is upright, per orientation (EXIF 2.3): the inverse of the turn.
    stored = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.T,
        6: np.rot90(quarters),
        7: np.rot90(quarters, 2).T,
        8: np.rot90(quarters, -1),
    }[orientation]
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = orientation
    data = tiny.encoded(Image.fromarray(np.ascontiguousarray(stored)), "JPEG", exif=exif)
    decoded = pictures.decode(data, channels=1)[..., 0]
    np.testing.assert_allclose(decoded, quarters, atol=6)


def test_orientation_counts_only_in_exif_of_a_jpeg():
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    np.testing.assert_array_equal(pictures.decode(tiny.encoded(PICTURE, exif=exif)), PICTURE)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    jpeg = tiny.encoded(PICTURE, "JPEG", xmp=xmp)
    assert pictures.decode(jpeg).shape == PICTURE.shape


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow says so; the picture is whole
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk"])
def test_damaged_exif_counts_as_upright(exif):
    assert pictures.decode(tiny.encoded(PICTURE, "JPEG", exif=exif)).shape == PICTURE.shape


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_one_pixel_is_a_picture(format):
    data = tiny.encoded(np.full((1, 1, 3), 255, np.uint8), format)
    np.testing.assert_array_equal(pictures.decode(data), [[[255, 255, 255]]])


def test_an_empty_file_is_refused():
    with pytest.raises(PictureError, match="got an empty file"):
        pictures.decode(b"")


@pytest.mark.parametrize(
    "data", [b"no picture", b"\xff\xd8", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 99]
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(PictureError, match="no picture|damaged"):
        pictures.decode(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(format, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = tiny.encoded(noise, format)
    with pytest.raises(PictureError):
        pictures.decode(data[: int(len(data) * part)])


def test_damaged_files_leave_no_warnings_behind():
    """Python keeps each text it has warned with, and a client can think of any number of them."""
    program = """
import io
from PIL import Image, TiffImagePlugin
from dlcv_tf.artifact import pictures
file = io.BytesIO()
Image.new("RGB", (7, 5)).save(file, "TIFF")
for size in range(100, 160):
    try:
        pictures.decode(file.getvalue()[:size])
    except pictures.PictureError:
        pass
print(getattr(TiffImagePlugin, "__warningregistry__", {}).keys() - {"version"})
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "set()\n", "")


def test_a_damaged_file_says_nothing_to_the_log(caplog):
    file = io.BytesIO()
    Image.new("RGB", (7, 5)).save(file, "TIFF")
    samples = struct.pack("<HHIH", 277, 3, 1, 3)
    assert file.getvalue().count(samples) == 1
    many = file.getvalue().replace(samples, struct.pack("<HHIH", 277, 3, 1, 259))
    with pytest.raises(PictureError):
        pictures.decode(many)
    assert not caplog.records


def test_too_many_pixels_are_refused_from_the_header():
    data = tiny.encoded(Image.new("L", (300, 200)))
    assert pictures.decode(data, max_pixels=60_000).shape == (200, 300, 3)
    with pytest.raises(PictureError, match="300 x 200 = 0.1 megapixels, expected at most 0.059999"):
        pictures.decode(data, max_pixels=59_999)


@pytest.mark.parametrize("side", [8_000, 11_000, 200_000])
def test_a_decompression_bomb_is_refused(side):
    # 64, 121 and 40,000 megapixels: below, at and above what Pillow itself refuses.
    with pytest.raises(PictureError, match="too large|megapixels"):
        pictures.decode(png(side, side, 8, 2, b""))


def test_pixels_without_a_range_are_refused():
    image = Image.fromarray(np.zeros((4, 4), np.float32))
    with pytest.raises(PictureError, match="floating-point"):
        pictures.decode(tiny.encoded(image, "TIFF"))


@pytest.mark.parametrize("size", [(5, 7), (3, 3), (9, 4), (16, 20), (1, 1)])
def test_resize_equals_its_formula(size):
    images = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3), np.uint8)

    def weights(in_size, out_size):
        scale = in_size / out_size
        matrix = np.zeros((out_size, in_size))
        for i in range(out_size):
            for j in range(in_size):
                matrix[i, j] = max(0, 1 - abs(j + 0.5 - (i + 0.5) * scale) / max(scale, 1))
            matrix[i] /= matrix[i].sum()
        return matrix

    expected = np.einsum("ij,bjkc,lk->bilc", weights(5, size[0]), images, weights(7, size[1]))
    resized = pictures.resize(images, size)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-3)


def test_resize_to_the_same_size_changes_nothing():
    images = tiny.ramp(6, 5)[None]
    np.testing.assert_array_equal(pictures.resize(images, (6, 5)), images)


def test_the_size_is_read_from_the_header_alone():
    data = tiny.encoded(tiny.ramp(12, 40))
    assert pictures.size(data[:60]) == (12, 40)
    with pytest.raises(pictures.PictureError, match="expected at most 0.0004"):
        pictures.size(data, max_pixels=400)
    with pytest.raises(pictures.PictureError, match="got an empty file"):
        pictures.size(b"")
