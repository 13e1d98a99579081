"""Anchors stand where the published codes have them."""

import doctest

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.ops import anchors


def test_shapes_keep_the_area_and_have_the_ratio():
    sides = anchors.shapes([16, 32], [0.5, 1, 2]).astype(np.float64)
    np.testing.assert_allclose(sides.prod(axis=-1), [256] * 3 + [1024] * 3, rtol=1e-6)
    np.testing.assert_allclose(sides[:, 1] / sides[:, 0], [0.5, 1, 2] * 2, rtol=1e-6)
    wide = anchors.shapes([16, 32], [0.5, 1, 2], ratio="w/h")
    np.testing.assert_allclose(wide[:, ::-1], sides)
    some = anchors.shapes([16, 32], [1, 2], ratio="w/h", every=False)
    np.testing.assert_allclose(some, [[16, 16], [32, 32], [16 * 2**0.5, 16 / 2**0.5]], rtol=1e-6)


def test_detectron2_s_example():
    """tests/modeling/test_anchor_generator.py: sizes 32 and 64, stride 4, a map of 1 by 2."""
    sides = anchors.shapes([32, 64], [0.25, 1, 4])
    cell = [[-32, -8, 32, 8], [-16, -16, 16, 16], [-8, -32, 8, 32]]
    cell += [[-64, -16, 64, 16], [-32, -32, 32, 32], [-16, -64, 16, 64]]
    expected = np.array(cell + [[x1 + 4, y1, x2 + 4, y2] for x1, y1, x2, y2 in cell])
    np.testing.assert_allclose(anchors.grid((1, 2), 4, sides, offset=0), expected)
    np.testing.assert_allclose(anchors.grid((1, 2), 4, sides), expected + 2)  # the test's second


def test_py_faster_rcnn_s_table():
    """lib/rpn/generate_anchors.py, whose sides are rounded before they are scaled."""
    sides = [[w * s, h * s] for w, h in ((23, 12), (16, 16), (11, 22)) for s in (8, 16, 32)]
    expected = [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    got = anchors.grid((1, 1), 16, sides, offset=7.5 / 16, plus_one=True)
    np.testing.assert_array_equal(got, expected)


def test_d2l_s_example():
    """d2l.ai, chapter_computer-vision/anchor.md: five anchors a pixel of a 561 x 728 picture."""
    boxes = anchors.normalised((561, 728), [0.75, 0.5, 0.25], [1, 2, 0.5])
    assert boxes.shape == (2042040, 4)
    boxes = boxes.reshape(561, 728, 5, 4)
    np.testing.assert_allclose(boxes[250, 250, 0], [0.06, 0.07, 0.63, 0.82], atol=5e-3)
    sides = boxes[250, 250, :, 2:] - boxes[250, 250, :, :2]
    in_pixels = sides * [728, 561]
    np.testing.assert_allclose(in_pixels[:3, 0], in_pixels[:3, 1], rtol=1e-4)
    np.testing.assert_allclose(in_pixels[3:, 0] / in_pixels[3:, 1], [2, 0.5], rtol=1e-4)
    stretched = anchors.normalised((2, 4), [0.5], [1], square=False)
    np.testing.assert_allclose(stretched[:, 2:] - stretched[:, :2], 0.5)


def test_the_order_is_by_row_column_and_shape():
    boxes = anchors.grid((2, 3), (10, 20), [[4, 2], [6, 6]]).reshape(2, 3, 2, 4)
    np.testing.assert_allclose(boxes[1, 2, 0], [48, 14, 52, 16])
    np.testing.assert_allclose(boxes[0, 1, 1], [27, 2, 33, 8])
    assert boxes.dtype == np.float32


def test_a_pyramid_is_its_levels():
    shapes = [anchors.shapes([8], [1, 2]), anchors.shapes([16], [1])]
    levels = anchors.pyramid([(4, 4), (2, 2)], [4, 8], shapes)
    assert levels.shape == (4 * 4 * 2 + 2 * 2, 4)
    np.testing.assert_array_equal(levels[:32], anchors.grid((4, 4), 4, shapes[0]))
    np.testing.assert_array_equal(levels[32:], anchors.grid((2, 2), 8, shapes[1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anchors.shapes([8], [1], ratio="w:h"), "ratio='w:h'"),
        (lambda: anchors.shapes([], [1]), r"scales=\[\], expected positive"),
        (lambda: anchors.shapes([8], [0]), r"ratios=\[0\], expected positive"),
        (lambda: anchors.grid((2.5, 1), 4, [[1, 1]]), "feature_size=2.5"),
        (lambda: anchors.grid((2, 1), 0, [[1, 1]]), "stride="),
        (lambda: anchors.grid((2, 1), 4, [1, 1]), r"expected \(k, 2\)"),
        (lambda: anchors.pyramid([(2, 2)], [4, 8], [[[1, 1]]]), "as many of each"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_examples():
    assert doctest.testmod(anchors).failed == 0
