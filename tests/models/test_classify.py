"""Networks have the published sizes and the first loss a fresh classifier should have."""

import math

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.errors import InputError
from tests.helpers import pictures, ramp

# Trainable parameters for 1000 classes: torchvision's and timm's published counts.
LARGE = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}
# He et al. 2015, table 6, give 0.27 M, 0.46 M and 0.85 M for ten classes.
SMALL = {"resnet20": 269_722, "resnet32": 464_154, "resnet56": 853_018}


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize("name", LARGE)
def test_large_resnets_have_the_published_counts(name):
    assert trainable(models.BUILDERS[name]((224, 224, 3), 1000)) == LARGE[name]


@pytest.mark.parametrize("name", SMALL)
def test_small_resnets_have_the_papers_counts(name):
    assert trainable(models.BUILDERS[name]((32, 32, 3), 10)) == SMALL[name]


def test_airbench_has_the_papers_count():
    network = models.airbench((32, 32, 3), 10)
    groups = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)  # 3x3 convolutions
    norms = 2 * 2 * (64 + 256 + 256)  # scale and shift, two layers a group
    assert trainable(network) == groups + norms + 256 * 10 == 1_972_480
    whitening = 2 * 2 * 3 * 24
    assert network.count_params() == 1_972_480 + whitening + norms  # and moving statistics
    assert network.count_params() <= 2_000_000
    assert not network.get_layer("whiten").trainable_variables


def test_airbench_takes_pictures_of_eighteen_pixels():
    network = models.airbench((18, 18, 3), 10)
    assert [network.get_layer(f"c{n}").output.shape[1:3] for n in (2, 3, 4)] == [
        (8, 8),
        (4, 4),
        (2, 2),
    ]


def test_linear_has_a_weight_per_pixel_and_class():
    assert trainable(models.linear((32, 32, 3), 10)) == 30_730


@pytest.mark.parametrize(
    "name, sizes", [("resnet18", (16, 8, 4, 2)), ("resnet50", (16, 8, 4, 2)), ("resnet20", None)]
)
def test_endpoints_are_named(name, sizes):
    sizes = sizes or (64, 32, 16)
    model = models.BUILDERS[name]((64, 64, 3), 10, width=4)
    for stage, side in enumerate(sizes, 2):
        assert model.get_layer(f"c{stage}").output.shape[1:3] == (side, side)


@pytest.mark.parametrize("name", ["linear", "resnet20", "resnet18", "airbench"])
def test_first_loss_is_log_of_the_number_of_classes(name):
    keras.utils.set_random_seed(0)
    shape, classes = (32, 32, 3), 10
    network = models.BUILDERS[name](shape, classes)
    task = tasks.Classifier(network, data.Preprocess(shape[:2]), [str(n) for n in range(classes)])
    task.compile("sgd")
    images = pictures(32, shape[:2])
    loss, _ = task.evaluate(images, np.arange(32) % classes, verbose=0)
    assert abs(loss - math.log(classes)) < 0.05 * math.log(classes)


def test_padded_shortcut_keeps_values_and_pads_channels_with_zeros():
    model = models.resnet20((8, 8, 3), 10, width=4)
    for layer in model.layers:
        if "stage" in layer.name and isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    inputs = ramp((2, 8, 8, 3))
    before = keras.Model(model.input, model.get_layer("stem_relu").output)(inputs)
    after = keras.Model(model.input, model.get_layer("c3").output)(inputs)
    np.testing.assert_allclose(after[..., 2:6], before[:, ::2, ::2], atol=1e-6)
    assert not np.any(after[..., :2]) and not np.any(after[..., 6:])


def test_labels_must_match_the_network():
    network = models.linear((8, 8, 1), 10)
    with pytest.raises(InputError, match="got 3 labels for a network"):
        tasks.Classifier(network, data.Preprocess((8, 8), 1), ["a", "b", "c"])


def test_wrong_pictures_are_refused():
    task = tasks.Classifier(models.linear((8, 8, 3), 2), data.Preprocess((8, 8), 3), ["a", "b"])
    with pytest.raises(InputError, match=r"expected \(batch, height, width, 3\)"):
        task(pictures(2, (8, 8), channels=1))
    with pytest.raises(InputError, match="add the batch axis"):
        task(pictures(1, (8, 8))[0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channels": 2}, "got channels=2, expected 1"),
        ({"mean": (1.0, 2.0)}, "got 2 numbers as mean, expected 1 or 3"),
        ({"std": 0.0}, "expected numbers above zero"),
    ],
)
def test_preprocess_checks_its_values(changes, message):
    with pytest.raises(InputError, match=message):
        data.Preprocess((8, 8), **changes)


def test_preprocess_normalises_each_channel():
    layer = data.Preprocess((2, 2), 3, (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    images = np.full((1, 2, 2, 3), 50, np.uint8)
    np.testing.assert_allclose(layer(images)[0, 0, 0], [40.0, 15.0, 5.0], rtol=1e-6)


def test_linear_without_bias_and_with_it_on_points():
    assert trainable(models.linear((32, 32, 3), 10, use_bias=False)) == 30_720
    assert trainable(models.linear((2,), 3)) == 9


def test_mlp_with_batch_norm_has_no_bias_beside_it_and_takes_an_activation():
    network = models.mlp((4,), 3, (5, 6), dropout=0.5, batch_norm=True, activation="tanh")
    assert trainable(network) == 4 * 5 + 2 * 5 + 5 * 6 + 2 * 6 + 6 * 3 + 3
    kinds = [type(layer).__name__ for layer in network.layers[2:6]]
    assert kinds == ["Dense", "BatchNormalization", "Activation", "Dropout"]
    assert network.get_layer("activation1").activation is keras.activations.tanh
    plain = models.mlp((4,), 3, (5,), activation="tanh")
    assert plain.get_layer("hidden1").activation is keras.activations.tanh


def test_templates_are_the_weights_as_pictures():
    network = models.linear((3, 4, 3), 5)
    kernel = ramp((36, 5), low=-3, high=7)
    network.get_layer("logits").kernel.assign(kernel)
    found = models.templates(network)
    assert found.shape == (5, 3, 4, 3) and found.dtype == np.uint8
    assert found.min(axis=(1, 2, 3)).tolist() == [0] * 5
    assert found.max(axis=(1, 2, 3)).tolist() == [255] * 5
    weights = kernel[:, 2].reshape(3, 4, 3)
    np.testing.assert_array_equal(
        np.argsort(found[2].ravel()[::5]), np.argsort(weights.ravel()[::5])
    )
    assert np.all(models.templates(models.linear((3, 4, 1), 2)) == 128)  # zeros: middle grey
    for other in (models.mlp((3, 4, 1), 2, (5,)), models.linear((12,), 2)):
        with pytest.raises(InputError, match="others have no template per class"):
            models.templates(other)


def test_feature_mlp_has_cs231ns_features():
    network = models.feature_mlp((32, 32, 3), 10, hidden_units=(7,))
    assert network.get_layer("normalize").output.shape == (None, 4 * 4 * 9 + 10)
    assert trainable(network) == (154 + 1) * 7 + (7 + 1) * 10
