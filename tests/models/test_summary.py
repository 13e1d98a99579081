"""The table of a model: published counts, fields measured on the network itself, and advice."""

import keras
import numpy as np
import pytest
from keras import layers

from dlcv_tf import data, models, tasks
from dlcv_tf import layers as own
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from dlcv_tf.models.summary import calls, fields
from tests.conformance import cases
from tests.helpers import ramp

# timm's infer_gmacs at 224 pixels, huggingface/pytorch-image-models at aa4b585,
# results/benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv; torchvision's _ops agrees.
GIGAMACS = {"resnet18": 1.82, "resnet34": 3.67, "resnet50": 4.11, "resnet101": 7.83}
GIGAMACS |= {"resnet152": 11.56}
# cs231n.github.io/convolutional-networks.md at 3d84654, lines 339-363: weights by layer.
VGG16 = [1728, 36864, 73728, 147456, 294912, 589824, 589824, 1179648, 2359296, 2359296]
VGG16 += [2359296, 2359296, 2359296, 102760448, 16777216, 4096000]


@pytest.mark.parametrize("name", GIGAMACS)
def test_work_of_residual_networks_is_the_published(name):
    facts = summary.summarize(models.BUILDERS[name]((224, 224, 3), 1000))
    assert facts.macs / 1e9 == pytest.approx(GIGAMACS[name], rel=0.006)
    assert not facts.uncounted and facts.seen == (224, 224)


def test_vgg16_is_the_table_of_the_notes():
    network = keras.applications.VGG16(weights=None)
    facts = summary.summarize(network)
    counted = [row for row in facts.rows if row.parameters]
    biases = [row.output_shape[-1] for row in counted]
    weights = [row.parameters - count for row, count in zip(counted, biases, strict=True)]
    assert weights == VGG16
    assert facts.parameters == 138_357_544
    assert facts.macs / 1e9 == pytest.approx(15.47, rel=0.006)  # timm, as above
    # Its memory column: 150K, 3.2M, 3.2M, 800K, ... numbers. They sum to 15.2M, not to the 24M
    # that the notes write beneath.
    numbers = [row.memory // 4 for row in facts.rows]
    assert numbers[:4] == [224 * 224 * 3, 224 * 224 * 64, 224 * 224 * 64, 112 * 112 * 64]
    assert sum(numbers) == 15_237_608
    fields_by_name = {row.name: row.field for row in facts.rows}
    assert fields_by_name["block5_conv3"] == (196, 196)  # Araujo et al. 2019, table of networks
    assert fields_by_name["block5_pool"] == (212, 212)


def test_work_of_vgg19():
    with keras.device("cpu"):
        network = keras.applications.VGG19(weights=None)
    assert summary.macs(network) / 1e9 == pytest.approx(19.63, rel=0.006)


@pytest.mark.parametrize("name", models.BUILDERS)
def test_every_network_of_ours_is_known_through_and_through(name):
    network = cases.MODELS[name][0]()
    facts = summary.summarize(network)
    assert not facts.uncounted
    assert all(row.field is not None for row in facts.rows)
    assert facts.parameters == network.count_params()
    assert facts.trainable == sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert facts.rows[-1].output_shape in [tuple(each.shape[1:]) for each in network.outputs]
    assert facts.input_shape == network.input_shape[1:]


def test_work_computed_by_hand():
    inputs = keras.Input((8, 6, 3))
    x = layers.Conv2D(5, 3, strides=2, padding="same")(inputs)
    assert summary.macs(keras.Model(inputs, x)) == 4 * 3 * (3 * 3 * 3 * 5)
    up = layers.Conv2DTranspose(7, 2, strides=2)(x)
    assert summary.macs(keras.Model(x, up)) == 4 * 3 * (2 * 2 * 5 * 7)  # each input pixel times
    deep = layers.DepthwiseConv2D(3)(up)
    assert summary.macs(keras.Model(up, deep)) == 6 * 4 * (3 * 3 * 7)
    inner = keras.Model(up, layers.Dense(2)(deep))
    assert summary.macs(inner) == 6 * 4 * (3 * 3 * 7) + 6 * 4 * (7 * 2)
    outer = keras.Model(inputs, inner(up))
    assert summary.macs(outer) == 12 * 135 + 12 * 140 + summary.macs(inner)
    grouped = keras.Model(up, layers.Conv2D(14, 3, groups=7, padding="same")(up))
    assert summary.macs(grouped) == 8 * 6 * (3 * 3 * 1 * 14)
    separable = keras.Model(up, layers.SeparableConv2D(4, 3, strides=2)(up))
    assert summary.macs(separable) == 3 * 2 * (3 * 3 * 7 + 7 * 4)
    first = keras.Input((3, 8, 6))
    channels_first = layers.Conv2D(5, 3, data_format="channels_first")(first)
    assert summary.macs(keras.Model(first, channels_first)) == 6 * 4 * (3 * 3 * 3 * 5)
    tokens = keras.Input((9,), dtype="int32")
    states = layers.LSTM(4, return_sequences=True)(layers.Embedding(11, 5)(tokens))
    assert summary.macs(keras.Model(tokens, states)) == 9 * 4 * (5 * 4 + 4 * 4)  # four gates
    scores = layers.Dense(11)(layers.GRU(3, return_sequences=True)(states))
    gated = 9 * 3 * (4 * 3 + 3 * 3)
    assert summary.macs(keras.Model(states, scores)) == gated + 9 * (3 * 11)


def test_layers_written_by_hand_are_known_as_keras_own_are():
    inputs = keras.Input((12, 12, 3))

    def build(convolution, norm, sigmoid, pool, dense):
        x = convolution(inputs)
        x = sigmoid(norm(x))
        return keras.Model(inputs, dense(pool(x)))

    ours = build(
        *(own.Convolution(4, 3, padding="same"), own.BatchNorm(), own.Sigmoid()),
        *(own.MaxPool(3, 2), own.Affine(5)),
    )
    keras_own = build(
        *(layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()),
        *(layers.Activation("sigmoid"), layers.MaxPooling2D(3, 2)),
        lambda x: layers.Dense(5)(layers.Flatten()(x)),
    )
    one, other = summary.summarize(ours), summary.summarize(keras_own)
    assert not one.uncounted
    assert (one.macs, one.parameters, one.seen) == (other.macs, other.parameters, other.seen)
    assert [row.field for row in one.rows[:5]] == [row.field for row in other.rows[:5]]
    assert "sigmoid in a hidden layer" in one.warnings[0].message
    maxout = summary.summarize(keras.Sequential([keras.Input((6,)), own.Maxout(5, pieces=3)]))
    assert maxout.macs == 6 * 15


def test_work_that_is_not_known_is_said():
    states = keras.Input((9, 4))
    network = keras.Model(states, layers.MultiHeadAttention(2, 3, name="attend")(states, states))
    assert summary.summarize(network).uncounted == ("attend",)
    with pytest.raises(InputError, match="got the layers attend, expected only kinds whose work"):
        summary.macs(network)


def test_what_runs_on_each_region_counts_for_each():
    inputs = keras.Input((7, 6, 5, 3))  # seven regions
    branch = keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 1)])
    facts = summary.summarize(keras.Model(inputs, own.EachRegion(branch)(inputs)))
    assert facts.macs == 7 * (4 * 3 * (3 * 3 * 3 * 4) + 4 * 3 * (4 * 2))
    assert facts.rows[-1].memory == 7 * 4 * (4 * 3 * 4 + 4 * 3 * 2)
    assert facts.parameters == branch.count_params() and not facts.uncounted
    states, many = keras.Input((5, 4)), keras.Input((7, 5, 4))
    unknown = keras.Model(states, layers.MultiHeadAttention(2, 3)(states, states))
    network = keras.Model(many, own.EachRegion(unknown, name="each")(many))
    assert summary.summarize(network).uncounted == ("each",)


def test_shared_layers_work_twice_and_weigh_once():
    inputs = keras.Input((4, 4, 2))
    shared = layers.Conv2D(2, 3, padding="same")
    facts = summary.summarize(keras.Model(inputs, shared(shared(inputs))))
    assert facts.parameters == 3 * 3 * 2 * 2 + 2
    assert facts.macs == 2 * 16 * 36
    assert [row.field for row in facts.rows] == [(1, 1), (3, 3), (5, 5)]


def test_memory_counts_bytes_of_the_dtype_and_nothing_for_views():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, dtype="mixed_float16")(inputs)
    x = layers.Flatten(dtype="mixed_float16")(x)
    facts = summary.summarize(keras.Model(inputs, layers.Dense(5, dtype="float64")(x)))
    assert [row.memory for row in facts.rows] == [4 * 32, 2 * 48, 0, 8 * 5]
    assert [row.dtype for row in facts.rows] == ["float32", "float16", "float16", "float64"]


def test_sizes_left_open_are_asked_for():
    inputs = keras.Input((None, None, 3))
    network = keras.Model(inputs, layers.Conv2D(2, 3)(inputs), name="open")
    with pytest.raises(InputError, match=r"'open' takes an input .*input_shape=\(224, 224, 3\)"):
        summary.summarize(network)
    assert summary.summarize(network, (10, 12, 3)).rows[-1].output_shape == (8, 10, 2)
    with pytest.raises(InputError, match=r"got an input of \(10, 12, 1\), expected \(None, None"):
        summary.summarize(network, (10, 12, 1))


def test_sequential_and_subclassed_models():
    stack = keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(InputError, match="does not say what it takes: give the input's shape"):
        summary.summarize(stack)
    facts = summary.summarize(stack, (6, 6, 1))
    assert [row.kind for row in facts.rows] == ["InputLayer", "Conv2D", "Flatten", "Dense"]
    assert facts.parameters == 40 + 4 * 4 * 4 * 2 + 2

    class Residual(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = layers.Conv2D(3, 3, padding="same")

        def call(self, inputs):
            return keras.ops.relu(inputs + self.convolution(inputs))

    facts = summary.summarize(Residual(), (5, 5, 3))
    assert [row.kind for row in facts.rows] == ["InputLayer", "Conv2D", "Add", "Relu"]
    assert facts.macs == 25 * 81 and facts.rows[-1].field == (3, 3)

    class Opaque(keras.Model):
        def call(self, inputs):
            return inputs.numpy()

    with pytest.raises(InputError, match="cannot follow the call of Opaque"):
        summary.summarize(Opaque(), (5, 5, 3))


def test_a_task_is_counted_by_its_network():
    network = models.convnet((8, 8, 3), 5, filters=(4,), hidden_units=8)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abcde"))
    assert summary.summarize(task.network).parameters == task.count_params()


def test_summarizing_leaves_the_model_as_it_is():
    network = models.lenet5((32, 32, 1), 10)
    before = network(ramp((2, 32, 32, 1)))["logits"]
    summary.summarize(network)
    assert network.get_layer("c1").output.shape == (None, 28, 28, 6)  # no second call recorded
    np.testing.assert_array_equal(network(ramp((2, 32, 32, 1)))["logits"], before)


# ---- receptive fields, measured ----


def unpooled(x):
    """Pooled, convolved, and put back where the maxima were."""
    maxima, switches = own.MaxPoolWithSwitches()(layers.Conv2D(2, 3, padding="same")(x))
    return own.MaxUnpool()(layers.Conv2D(2, 3, padding="same")(maxima), switches)


def branches(x):
    """Inception-like branches of different reach, and a pool."""
    wide = layers.Conv2D(2, 5, padding="same")(layers.Conv2D(2, 1)(x))
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    return layers.Concatenate()([layers.Conv2D(2, 3, padding="same")(x), wide, pooled])


def strided_branches(x):
    """TensorFlow's "same" pads strides on one side: the branches do not lie alike."""
    one = layers.Conv2D(2, 3, strides=2, padding="same")(x)
    other = layers.MaxPooling2D(2, strides=2, padding="same")(x)
    return layers.Concatenate()([one, layers.Conv2D(2, 1)(other)])


def hourglass(x):
    """Down, up by a transposed convolution, and joined with what was skipped."""
    down = layers.Conv2D(2, 3, strides=2, padding="same")(x)
    up = layers.Conv2DTranspose(2, 2, strides=2)(layers.Conv2D(2, 3, padding="same")(down))
    return layers.Concatenate()([layers.Conv2D(2, 3, padding="same")(x), up])


def padded_by_hand(x):
    x = layers.ZeroPadding2D(((2, 0), (1, 3)))(x)
    x = layers.Cropping2D(((0, 1), (1, 0)))(layers.Conv2D(2, 3)(x))
    return keras.ops.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)))


NETWORKS = {
    "three 3x3": lambda x: [x := layers.Conv2D(2, 3)(x) for _ in range(3)][-1],
    "strides": lambda x: layers.Conv2D(2, 3, strides=2)(layers.Conv2D(2, 5, strides=3)(x)),
    "same, strides": lambda x: layers.Conv2D(2, (3, 4), strides=2, padding="same")(
        layers.Conv2D(2, (2, 5), strides=(1, 3), padding="same")(x)
    ),
    "dilation": lambda x: layers.Conv2D(2, 3, dilation_rate=2, padding="same")(
        layers.Conv2D(2, 3, dilation_rate=(1, 3))(x)
    ),
    "depthwise and separable": lambda x: layers.SeparableConv2D(3, 3, strides=2)(
        layers.DepthwiseConv2D(3)(x)
    ),
    "pools": lambda x: layers.AveragePooling2D(3, strides=2)(layers.MaxPooling2D(2)(x)),
    "branches": branches,
    "branches, strided": strided_branches,
    "padded by hand": padded_by_hand,
    "gate of all pixels": lambda x: layers.Multiply()(
        [x, layers.Reshape((1, 1, 2))(layers.GlobalAveragePooling2D()(x))]
    ),
    "flattened": lambda x: layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3, strides=4)(x))),
}


def network(build, side=23):
    inputs = keras.Input((side, side, 2))
    model = keras.Model(inputs, build(inputs))
    model.set_weights([np.abs(ramp(w.shape, low=0.5, high=1.0)) for w in model.get_weights()])
    return model


def measured(model, side=23):
    """Returns for each axis and place the first and last pixel whose rise raises an output.

    All weights are positive, so every pixel of the field counts, also through a max pool.
    """
    base = np.ones((1, side, side, 2), "float32")
    found = []
    for axis in (0, 1):
        images = np.repeat(base, side, 0)
        for pixel in range(side):
            images[(pixel, pixel) if axis == 0 else (pixel, slice(None), pixel)] += 10.0
        outputs = model(images).numpy()
        changed = np.abs(outputs - model(base).numpy()) > 1e-4
        changed = changed.reshape(side, *(changed.shape[1:] if changed.ndim == 4 else (1, 1, -1)))
        changed = changed.any(axis=(2 if axis == 0 else 1, 3))  # (pixel, place)
        pixels = [np.flatnonzero(column) for column in changed.T]
        nothing = (np.inf, -np.inf)
        found.append([(each[0], each[-1]) if each.size else nothing for each in pixels])
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_those_measured(name):
    model = network(NETWORKS[name])
    graph = calls.trace(model)
    spans = fields.fields(graph)[id(graph.outputs[0])]
    for span, ends in zip(spans, measured(model), strict=True):
        inside = 0
        for place, (first, last) in enumerate(ends):
            low, high = span.first + span.jump * place, span.last + span.jump * place
            if low >= 0 and high <= 22:
                assert (first, last) == (low, high)
                inside += 1
            assert low <= first and last <= high  # a tap in the padding sees nothing
        assert inside or span.jump == 0


@pytest.mark.parametrize(
    "name, build, field",
    [
        ("transposed", lambda x: layers.Conv2DTranspose(2, 4, strides=2, padding="same")(x), 2),
        ("nearest", lambda x: layers.Conv2D(2, 3)(layers.UpSampling2D(2)(x)), 2),
        ("bilinear", lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x), 2),
        ("hourglass", hourglass, 7),
        ("switches", unpooled, 8),
        ("nearest, own", lambda x: layers.Conv2D(2, 3)(own.NearestUnpool()(x)), 2),
        ("nails", lambda x: layers.Conv2D(2, 3)(own.BedOfNails()(x)), 2),
    ],
)
def test_fields_behind_a_larger_map_cover_those_measured(name, build, field):
    # Outputs between two pixels of a smaller map do not all see equally many; the table gives the
    # most that any of them sees, within a pixel of the smaller map's stride.
    model = network(build, side=22)
    graph = calls.trace(model)
    spans = fields.fields(graph)[id(graph.outputs[0])]
    widths = [last - first + 1 for first, last in measured(model, side=22)[0]]
    assert max(widths) <= spans[0].size <= max(widths) + 1
    assert spans[0].size == field


def test_unknown_operations_have_unknown_fields():
    inputs = keras.Input((6, 6, 2))
    x = keras.ops.flip(layers.Conv2D(2, 3)(inputs), axis=1)
    facts = summary.summarize(keras.Model(inputs, layers.Conv2D(2, 3)(x)))
    assert [row.field for row in facts.rows] == [(1, 1), (3, 3), None, None]
    assert facts.seen is None


def test_pixels_that_no_window_reads_are_not_seen():
    inputs = keras.Input((7, 7, 1))
    facts = summary.summarize(keras.Model(inputs, layers.Conv2D(1, 3, strides=3)(inputs)))
    assert facts.seen == (6, 6)  # (7 - 3) / 3 + 1 is not whole: the last row and column are left


# ---- advice ----


def advice(build, shape=(8, 8, 3)):
    inputs = keras.Input(shape)
    return {
        name: each.message
        for each in summary.summarize(keras.Model(inputs, build(inputs))).warnings
        for name in each.layers
    }


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_saturating_hidden_layers_are_warned_of(activation):
    def build(x):
        x = layers.Conv2D(4, 3, activation=activation, name="inside")(x)
        x = layers.Activation(activation, name="behind")(layers.Dense(4)(layers.Flatten()(x)))
        return layers.Dense(2)(x)

    found = advice(build)
    assert found.keys() == {"inside", "behind"}
    assert f"{activation} in a hidden layer" in found["inside"]
    assert "take ReLU, or try leaky ReLU, ELU or maxout" in found["inside"]


def test_sigmoids_in_their_place_are_not_warned_of():
    def gated(x):
        gate = layers.GlobalAveragePooling2D()(x)
        gate = layers.Reshape((1, 1, 3))(layers.Dense(3, activation="sigmoid")(gate))
        return layers.Dense(2, activation="sigmoid")(layers.Multiply()([x, gate]))

    assert advice(gated) == {}
    assert (
        advice(lambda x: layers.Rescaling(255.0)(layers.Conv2D(3, 1, activation="tanh")(x))) == {}
    )
    assert advice(lambda x: layers.LSTM(4)(x), (5, 3)) == {}


def test_biases_before_batch_norm_are_warned_of():
    def build(x):
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, name="biased")(x))
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x))
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
        return layers.Conv2D(4, 1)(x)

    found = advice(build)
    assert found.keys() == {"biased"}
    assert "4 biases" in found["biased"] and "use_bias=False" in found["biased"]


def test_networks_of_ours_have_no_superfluous_bias():
    for name in ("resnet20", "resnet50", "airbench", "convnet"):
        assert not summary.summarize(cases.MODELS[name][0]()).warnings
