"""Pictures as tensors: resizing, decoding, turning upright. Graph code that every format can run.

The NumPy twins of these functions, for programs without TensorFlow, are in `artifact/pictures.py`.
"""

import tensorflow as tf

EXIF_SEARCH_BYTES = 4096  # the EXIF header stands in the first segments of a JPEG file


def resize_weights(in_size, out_size, dtype=tf.float32) -> tf.Tensor:
    """Returns the matrix of an antialiased bilinear resize along one axis.

    Row `i` holds the weights of the input pixels in output pixel `i`: a triangle around the
    output pixel's centre, as wide as the larger of one input and one output pixel, normalised.
    Equal sizes give the identity, exactly.

    Args:
        in_size: number of input pixels, an int or an int32 scalar tensor.
        out_size: number of output pixels, likewise.

    Returns:
        (out_size, in_size) tensor whose rows sum to one.
    """
    scale = tf.cast(in_size, dtype) / tf.cast(out_size, dtype)
    centres = (tf.cast(tf.range(out_size), dtype) + 0.5) * scale
    pixels = tf.cast(tf.range(in_size), dtype) + 0.5
    distances = tf.abs(pixels[None, :] - centres[:, None]) / tf.maximum(scale, 1.0)
    weights = tf.maximum(1.0 - distances, 0.0)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def resize(images: tf.Tensor, size) -> tf.Tensor:
    """Resizes pictures with antialiased bilinear weights, as two matrix products.

    The same result as `tf.image.resize(antialias=True)`, whose op neither ONNX nor TensorFlow Lite
    has. Pictures of that size already come back as they are.

    Args:
        images: (batch, height, width, channels) pictures, any numeric type.
        size: output (height, width): ints, or int32 scalar tensors.

    Returns:
        (batch, *size, channels) float32 pictures (float64 for float64 input).
    """
    dtype = images.dtype if images.dtype == tf.float64 else tf.float32
    images = tf.cast(images, dtype)
    is_known = not any(tf.is_tensor(side) for side in size)
    if is_known and tuple(images.shape[1:3]) == tuple(size):
        return images
    shape = tf.shape(images)
    batch, height, width, channels = (
        static if static is not None else shape[axis] for axis, static in enumerate(images.shape)
    )
    rows = tf.reshape(images, (batch, height, width * channels))
    rows = tf.matmul(resize_weights(height, size[0], dtype), rows)  # (batch, out height, ...)
    columns = tf.reshape(rows, (batch * size[0], width, channels))
    columns = tf.matmul(resize_weights(width, size[1], dtype), columns)
    return tf.reshape(columns, (batch, *size, channels))


def decode(image_bytes: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes one JPEG, PNG, GIF or BMP file inside a graph, by the rules of `artifact.pictures`.

    Upright by its EXIF orientation (JPEG), alpha dropped, first frame of an animation, grey from
    the integer luma that Pillow uses; JPEG with the exact inverse cosine transform.

    Args:
        image_bytes: scalar string tensor, the encoded file.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        (height, width, channels) uint8 picture.
    """
    is_jpeg = tf.equal(tf.strings.substr(image_bytes, 0, 2), b"\xff\xd8")
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image_bytes, channels=3, expand_animations=False),
    )
    image = tf.ensure_shape(image, (None, None, 3))
    image = upright(image, exif_orientation(image_bytes))
    return rgb_to_grey(image) if channels == 1 else image


def rgb_to_grey(images: tf.Tensor) -> tf.Tensor:
    """Returns (..., 1) uint8 luma of (..., 3) uint8 RGB: ITU-R 601-2 as Pillow rounds it."""
    red, green, blue = tf.unstack(tf.cast(images, tf.int32), axis=-1)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) // 65536
    return tf.cast(luma, tf.uint8)[..., None]


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns a stored picture the way its EXIF orientation asks for.

    Args:
        image: (height, width, channels) picture as stored.
        orientation: int32 scalar, 1 to 8 (EXIF 2.3, tag 0x0112); anything else counts as 1.

    Returns:
        The upright picture, (height, width, channels) or (width, height, channels).
    """

    def when(orientations, change, value):
        wanted = tf.reduce_any(tf.equal(orientation, orientations))
        changed = tf.cond(wanted, lambda: change(value), lambda: value)
        return tf.ensure_shape(changed, (None, None, image.shape[-1]))

    image = when([5, 6, 7, 8], lambda value: tf.transpose(value, (1, 0, 2)), image)
    image = when([2, 3, 6, 7], lambda value: tf.reverse(value, axis=[1]), image)
    return when([3, 4, 7, 8], lambda value: tf.reverse(value, axis=[0]), image)


def exif_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of a JPEG file with tensor ops; 1 where there is none.

    Args:
        image_bytes: scalar string tensor, the encoded file.

    Returns:
        int32 scalar, 1 to 8.
    """
    head = tf.strings.substr(image_bytes, 0, EXIF_SEARCH_BYTES)
    octets = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    octets = tf.pad(octets, [[0, 64]])  # reads just past the end give zeros
    marker = tf.constant([0xFF, 0xE1, -1, -1, *b"Exif\0\0"], tf.int32)  # APP1, length, "Exif"
    windows = tf.signal.frame(octets, marker.shape[0], 1)
    found = tf.reduce_all((windows == marker) | (marker < 0), axis=1) & (octets[0] == 0xFF)
    start = tf.argmax(tf.cast(found, tf.int32), output_type=tf.int32) + marker.shape[0]
    little = tf.equal(octets[start], ord("I"))

    def number(position, size):
        part = tf.gather(octets, tf.minimum(position + tf.range(size), tf.size(octets) - 1))
        part = tf.cond(little, lambda: part[::-1], lambda: part)
        return tf.reduce_sum(part * 256 ** tf.range(size - 1, -1, -1))

    directory = start + number(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), 64))
    tags = tf.map_fn(lambda position: number(position, 2), entries)
    values = tf.map_fn(lambda position: number(position + 8, 2), entries)
    orientation = tf.reduce_sum(tf.where(tags == 0x0112, values, 0))
    valid = tf.reduce_any(found) & (orientation >= 1) & (orientation <= 8)
    return tf.where(valid, orientation, 1)
