"""Labs of the chapter on initial weights: what they do to the activations of a deep network."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.data import digits
from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models.classify.mlp import mlp
from dlcv_tf.plots import charts
from dlcv_tf.train import diagnostics, initialization

# The course's cases with the deviations that have been published for them (CS231n, lecture 6; those
# of Xavier and He simulated), and how near a draw comes to them.
CASES = {
    "small, tanh": ((0.213, 0.0476, 0.0106, 0.00238, 0.00053, 0.00012, 26e-6, 6e-6, 1e-6, 0), 0.03),
    "large, tanh": ((0.982,) * 10, 0.003),
    "xavier, tanh": ((0.627, 0.487, 0.407, 0.358, 0.320, 0.294, 0.273, 0.255, 0.240, 0.227), 0.04),
    "xavier, relu": ((0.583, 0.410, 0.277, 0.191, 0.132, 0.096, 0.071, 0.048, 0.034, 0.024), 0.15),
    "he, relu": ((0.825, 0.819, 0.782, 0.763, 0.745, 0.767, 0.798, 0.765, 0.758, 0.764), 0.15),
}
SHOWN = (1, 3, 5, 7, 10)  # layers whose histograms are drawn, with ReLU those above zero only
MOST = 4.0  # what hardly any activation of a ReLU is above


def activation_statistics(
    *,
    init: str = "he",
    act: str = "relu",
    depth: int = 10,
    width: int = 500,
    examples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Mean, deviation and histogram of every layer, for any initial weights, function and depth.

    Unit normal data goes through a deep network that has not been trained: `H = act(H @ W)`, layer
    by layer. The weights are good when the last layer's activations still vary about as much as
    the first one's and no layer is saturated or dead.

    Curriculum: rows 51, 52, 53, 54.

    Args:
        init: zeros, small (0.01), large (1.0), xavier, glorot, he, lecun, orthogonal, or any that
            Keras knows.
        act: activation function, any that Keras knows.
        depth: layers.
        width: units of each.
        examples: rows of the data.
        seed: of the data and the weights.
    """
    found = initialization.activation_stats(
        init, act, depth, width, examples=examples, seed=seed, verbose=0
    )
    columns, rows = diagnostics.as_table(found)
    kept = found[-1].std / found[0].std if found[0].std else 0.0
    drawn = {each.layer: each.sample[each.sample != 0] for each in found}  # zeros would hide all
    drawn = {layer: sample for layer, sample in drawn.items() if len(sample)}
    lowest = min((sample.min() for sample in drawn.values()), default=0.0)
    highest = max((sample.max() for sample in drawn.values()), default=0.0)
    limits = (float(min(lowest, 0)), float(max(highest, 0)))
    remarks = [f"{each.layer} {each.remark}" for each in found if each.remark]
    return Finding(
        f"Initial weights after {init} keep {depth} layers with {act} alive.",
        bool(not remarks and 0.2 < kept < 5),
        f"The standard deviation goes from {found[0].std:.4g} in the first layer to "
        f"{found[-1].std:.4g} in the last. {remarks[0] if remarks else 'No layer is remarkable'}.",
        {
            "mean": [each.mean for each in found],
            "std": [each.std for each in found],
            "saturated": [each.saturated for each in found],
            "dead": [each.dead_units for each in found],
        },
        [Table(columns, rows, f"{init}, {act}, {width} units")],
        {"activation_statistics": charts.histograms(drawn, limits=limits)} if drawn else {},
    )


def initial_weights(*, seed: int = 0) -> Finding:
    """The course's five cases: small, large and Xavier with tanh, Xavier and He with ReLU.

    Ten layers of 500 units, unit normal data. With 0.01 * randn the activations vanish; with
    1.0 * randn tanh saturates; divided by the root of the number of inputs (Xavier) they fall
    slowly with tanh and are halved in variance by every ReLU, which He's factor 2 makes good.

    Curriculum: rows 51, 52, 53, 54.

    Args:
        seed: of the data and the weights.
    """
    deviations, agree, tanhs, relus, rows = {}, {}, {}, {}, []
    for case, (published, tolerance) in CASES.items():
        init, act = case.split(", ")
        found = initialization.activation_stats(init, act, seed=seed, verbose=0)
        deviations[case] = [each.std for each in found]
        # With ReLU two draws differ by 15 % and more in the tenth layer; 0 is the published one.
        loose = 1 if seed == 0 or act == "tanh" else 4
        agree[case] = bool(np.allclose(deviations[case], published, tolerance * loose, 2e-6))
        for number in SHOWN:
            sample = found[number - 1].sample
            if act == "tanh":
                tanhs[f"{init}, layer {number}"] = sample
            else:
                relus[f"{init}, layer {number}"] = sample[(sample > 0) & (sample < MOST)]
        rows.append([case, *(f"{std:.6f}" for std in deviations[case])])
    layers = np.arange(1, 11)
    panel = charts.Panel(
        "Standard deviation of the activations",
        {case: (layers, np.maximum(std, 1e-7)) for case, std in deviations.items()},
        "layer",
        y_log=True,
        y_limits=(1e-7, 2),
    )
    small, he = deviations["small, tanh"], deviations["he, relu"]
    return Finding(
        "The scale of the initial weights decides whether a deep network has any activations.",
        all(agree.values()),
        f"With small weights the deviation falls from {small[0]:.3f} to {small[-1]:.1e} in ten "
        f"layers of tanh, with He's it goes from {he[0]:.2f} to {he[-1]:.2f} in ten of ReLU. "
        f"{sum(agree.values())} of {len(agree)} cases agree with the published tables.",
        {"std": deviations, "agrees": agree},
        [Table(["case", *(f"layer {number}" for number in layers)], rows, "standard deviations")],
        {
            "initial_weights": charts.draw([panel], columns=1),
            "initial_weights_tanh": charts.histograms(tanhs, limits=(-1, 1)),
            "initial_weights_relu": charts.histograms(relus, limits=(0, MOST)),
        },
    )


def zero_weights(*, units: int = 20, epochs: int = 15, seed: int = 0) -> Finding:
    """Zero initial weights: all neurons are alike, and stay so however long they learn.

    A network with one hidden layer learns the digits from zeros, from one constant, and from random
    numbers. From zeros nothing but the last bias ever moves: what reaches the hidden layer is the
    gradient times zero. From a constant every unit gets the same gradient (the rows of dW, columns
    of Keras's kernel, are identical), so the layer is worth one unit. Random numbers break the
    symmetry.

    Curriculum: row 50.

    Args:
        units: of the hidden layer.
        epochs: passes over the training pictures.
        seed: of the random weights and the order.
    """
    images, labels = digits.arrays("train")
    test_images, test_labels = digits.arrays("test")
    preprocess = Preprocess.fitted(images)
    x, test_x = preprocess(images), preprocess(test_images)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rows, numbers = [], {}
    starts = {
        "zeros": "zeros",
        "one constant": keras.initializers.Constant(0.05),
        "random": "xavier",
    }
    for name, init in starts.items():
        keras.utils.set_random_seed(seed)
        network = mlp(x.shape[1:], 10, hidden_units=(units,), activation="tanh")
        initialization.initialize(network, init, np.random.RandomState(seed))
        kernel = network.get_layer("hidden1").kernel
        with tf.GradientTape() as tape:
            value = loss(labels, network(x)["logits"])
        gradient = tape.gradient(value, kernel.value).numpy()
        network.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
        network.fit(x, labels, batch_size=64, epochs=epochs, verbose=0)
        accuracy = network.evaluate(test_x, test_labels, verbose=0)[1]
        numbers[name] = {
            "largest_gradient": float(abs(gradient).max()),
            "gradient_differs_by": _difference(gradient),
            "units_differ_by": _difference(kernel.numpy()),
            "accuracy": float(accuracy),
        }
        rows.append([name, *numbers[name].values()])
    alike = [numbers[name] for name in ("zeros", "one constant")]
    apart = numbers["random"]
    return Finding(
        "Weights that start alike get the same gradients and stay alike.",
        all(each["gradient_differs_by"] < 1e-7 and each["units_differ_by"] < 1e-4 for each in alike)
        and apart["units_differ_by"] > 0.1
        and apart["accuracy"] > 0.9 > alike[1]["accuracy"],
        f"After {epochs} epochs the {units} units differ by {alike[1]['units_differ_by']:.0e} at "
        f"most when they began at one constant, by {apart['units_differ_by']:.2f} when at random; "
        f"test accuracy {alike[0]['accuracy']:.1%} from zeros, {alike[1]['accuracy']:.1%} from a "
        f"constant, {apart['accuracy']:.1%} from random weights.",
        numbers,
        [
            Table(
                ["start", "largest |dW|", "dW differs by", "units differ by", "test accuracy"], rows
            )
        ],
    )


def _difference(kernel: np.ndarray) -> float:
    """Returns the largest difference between the weights of two units, the columns of a kernel."""
    return float(np.ptp(kernel, axis=1).max())


LABS = (activation_statistics, initial_weights, zero_weights)
