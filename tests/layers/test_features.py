"""Histograms of edges and colours against NumPy, pixel by pixel."""

import colorsys

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import export, layers
from dlcv_tf.artifact import runners
from dlcv_tf.errors import InputError
from tests.helpers import ramp

PICTURES = ramp((2, 19, 17, 3), "float64", 0, 255)


def hog_by_loops(picture, cell, bins, fold):
    """Returns the histograms as their definition says: an angle for every pixel, by arctan2."""
    grey = picture @ [0.299, 0.587, 0.114] if picture.shape[-1] == 3 else picture[..., 0]
    right, down = np.zeros_like(grey), np.zeros_like(grey)
    right[:, :-1] = np.diff(grey, axis=1)
    down[:-1] = np.diff(grey, axis=0)
    rows, columns = grey.shape[0] // cell, grey.shape[1] // cell
    counts = np.zeros((rows, columns, bins))
    for y, x in np.ndindex(rows * cell, columns * cell):
        edge = np.degrees(np.arctan2(down[y, x], right[y, x])) + 90
        if not fold and not 0 < edge < 180:
            continue
        number = int((edge % 180) // (180 / bins))
        counts[y // cell, x // cell, number] += np.hypot(right[y, x], down[y, x])
    return counts.ravel() / cell**2


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("cell, bins", [(8, 9), (5, 4), (3, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_hog_is_the_histogram_by_loops(fold, cell, bins, channels):
    pictures = PICTURES[..., :channels]
    expected = [hog_by_loops(picture, cell, bins, fold) for picture in pictures]
    found = layers.HOG(cell, bins, fold, dtype="float64")(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def cs231n_hog(picture):
    """Returns the features as CS231n's assignment computes them: 8x8 cells, 9 bins, by masks."""
    grey = picture @ [0.299, 0.587, 0.114]
    right, down = np.zeros_like(grey), np.zeros_like(grey)
    right[:, :-1] = np.diff(grey, axis=1)
    down[:-1] = np.diff(grey, axis=0)
    size = np.sqrt(right**2 + down**2)
    angle = np.arctan2(down, right + 1e-15) * (180 / np.pi) + 90
    histogram = []
    for number in range(9):
        inside = np.where(angle < 180 / 9 * (number + 1), angle, 0)
        inside = np.where(angle >= 180 / 9 * number, inside, 0)
        counted = np.where(inside > 0, size, 0)
        histogram.append(counted.reshape(4, 8, 4, 8).mean(axis=(1, 3)))
    return np.stack(histogram, axis=-1).ravel()


def test_hog_without_fold_is_cs231ns():
    pictures = ramp((3, 32, 32, 3), "float64", 0, 255)
    # Where a gradient points straight up or down, rounding decides in their code whether it counts.
    # So does every one of the last column, where the right neighbour is missing: no gradient there.
    pictures[:, :, -1] = pictures[:, :1, -1]
    found = layers.HOG(fold=False, dtype="float64")(pictures)
    assert found.shape == (3, 144)
    np.testing.assert_allclose(found, [cs231n_hog(each) for each in pictures], rtol=0, atol=1e-9)


def test_an_edge_is_in_the_bin_of_its_angle_whichever_side_is_bright():
    upright = np.zeros((1, 8, 8, 1))
    upright[:, :, 4:] = 1
    for picture, bin_of_edge in ((upright, 2), (np.swapaxes(upright, 1, 2), 0)):
        for each in (picture, 1 - picture):
            found = layers.HOG(8, 4)(each)[0].numpy()  # upright edges run at 90 degrees
            assert found.argmax() == bin_of_edge and np.count_nonzero(found > 1e-6) == 1


@pytest.mark.parametrize("name, bins", [("HOG", 4), ("HueHistogram", 10), ("HueHistogram", 30)])
def test_rounding_decides_nothing(name, bins):
    # Few levels: many edges at 0 and 45 degrees exactly, and hues on the border of two bins.
    levels = 30 * np.random.default_rng(0).integers(0, 6, (64, 16, 16, 3)).astype(np.uint8)
    exact = getattr(layers, name)(bins=bins, dtype="float64")(levels)
    for scale in (1 / 255, 1 / 3, 1.1):
        found = getattr(layers, name)(bins=bins)(levels * np.float32(scale))
        found = found / scale if name == "HOG" else found
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["HOG", "HueHistogram"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_computes_in_float32(name, policy):
    levels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    found = getattr(layers, name)(dtype=policy)(levels)
    assert found.dtype == policy.removeprefix("mixed_")
    exact = getattr(layers, name)()(levels)
    np.testing.assert_allclose(np.float32(found), exact, rtol=1e-2)


def test_flat_pictures_have_no_edges_and_finite_gradients():
    assert np.max(layers.HOG(4, 3)(np.full((1, 8, 8, 3), 9.0))) < 1e-12


@pytest.mark.parametrize("bins", [10, 7, 1])
def test_hue_histogram_is_the_histogram_of_colorsys(bins):
    pictures = PICTURES.copy()
    pictures[:, :3] = pictures[:, :3, :, :1]  # some grey
    expected = []
    for picture in pictures:
        hues = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in picture.reshape(-1, 3) / 255]
        expected.append(np.histogram(hues, bins, range=(0, 1))[0] / len(hues))
    found = layers.HueHistogram(bins, dtype="float64")(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.sum(found, axis=1), 1)


def test_hues_of_pure_colours_and_of_pictures_of_another_scale():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]], np.uint8)
    pictures = np.broadcast_to(colours[:, None, None], (4, 2, 2, 3))
    found = layers.HueHistogram(3)(pictures)
    np.testing.assert_array_equal(np.argmax(found, axis=1), [0, 1, 2, 0])
    np.testing.assert_array_equal(layers.HueHistogram(3)(pictures / 255), found)


@pytest.mark.parametrize("name", ["HOG", "HueHistogram"])
def test_features_are_exported_to_onnx_and_tensorflow_lite(name, tmp_path):
    layer = getattr(layers, name)(bins=4)
    pictures = ramp((2, 17, 16, 3), low=0, high=255)

    @tf.function(input_signature=[tf.TensorSpec((None, 17, 16, 3), tf.float32, "images")])
    def features(images):
        return {"features": layer(images)}

    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), {"serving_default": features})
    onnx = runners.OnnxRunner(export.export_onnx(tmp_path / "saved", tmp_path / "f.onnx"))
    lite = runners.LiteRTRunner(export.export_tflite(tmp_path / "saved", tmp_path / "f.tflite"))
    for runner in (onnx, lite):
        found = runner(pictures)["features"]
        np.testing.assert_allclose(found, layer(pictures), rtol=1e-5, atol=1e-5)


def test_bad_values_and_pictures_are_refused():
    with pytest.raises(InputError, match="got cell=0 and bins=9, expected 1 or more"):
        layers.HOG(0)
    with pytest.raises(InputError, match="got bins=0, expected 1 or more"):
        layers.HueHistogram(0)
    with pytest.raises(InputError, match="got pictures of 4x9 pixels.*give a smaller cell"):
        layers.HOG(8)(np.zeros((1, 4, 9, 3)))
    for size in ((None, None, 3), (8, None, 3)):
        with pytest.raises(InputError, match=r"got pictures of shape \(None, .*resize them"):
            layers.HOG()(keras.Input(size))
    with pytest.raises(InputError, match=r"got pictures of shape \(9, 9, 3\), expected \(batch"):
        layers.HOG()(np.zeros((9, 9, 3)))
    with pytest.raises(InputError, match=r"got pictures of 1 channel\(s\), expected 3"):
        layers.HueHistogram()(np.zeros((1, 8, 8, 1)))
