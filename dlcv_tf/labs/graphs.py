"""Labs of the chapter on graphs: what they save, how fast they run, and that they run anywhere."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx
from tensorflow.compat import v1

from dlcv_tf import models
from dlcv_tf.data import digits
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts

ONNX_OPSET = 18  # the newest that tf2onnx knows


def graph_optimization(*, batch: int = 8, side: int = 32, filters: int = 16) -> Finding:
    """A static graph is simplified before it runs: constants folded, operations fused.

    A small convolutional graph is written the way people write: a scale from constants, the same
    mean twice, a product with one, a transposition and its inverse, a part that nobody asks for.
    A session then says which operations it really ran, with TensorFlow's graph optimiser (grappler)
    off and on. The answers must be equal.

    Curriculum: row 101.

    Args:
        batch: pictures.
        side: of a picture, pixels.
        filters: of the convolution.
    """
    graph, images, answer = _wasteful_graph(filters)
    values = np.linspace(-1, 1, batch * side * side * 3, dtype=np.float32)
    feed = {images: values.reshape(batch, side, side, 3)}
    written = [node.op for node in graph.as_graph_def().node]
    plain_answer, plain = _run(graph, answer, feed, optimise=False)
    answer_optimised, optimised = _run(graph, answer, feed, optimise=True)
    difference = float(np.abs(plain_answer - answer_optimised).max())
    kinds = sorted({*written, *plain, *optimised} - {"_Send", "_Recv", "NoOp"})
    rows = [(k, written.count(k), plain.count(k), optimised.count(k)) for k in kinds]
    counts = {"written": len(written), "run plainly": len(plain), "run optimised": len(optimised)}
    fused = [kind for kind in set(optimised) if "Fused" in kind]
    return Finding(
        claim="The framework prunes, folds and fuses a static graph before running it.",
        holds=len(optimised) < len(plain) < len(written) and bool(fused) and difference < 1e-5,
        summary=f"{len(written)} operations are written, {len(plain)} of them are needed, and "
        f"{len(optimised)} are run after optimisation, {', '.join(fused) or 'none'} in place of "
        f"convolution, bias and ReLU. The answers differ by at most {difference:.1e}.",
        numbers={"counts": counts, "fused": fused, "difference": difference},
        tables=[Table(("operation", "written", "run, optimiser off", "run, optimiser on"), rows)],
        figures={"graph_optimization": charts.bars(counts, "operations")},
    )


def _wasteful_graph(filters: int):
    """Returns a graph, its placeholder and its answer."""
    graph = tf.Graph()
    with graph.as_default():
        images = v1.placeholder(tf.float32, (None, None, None, 3), name="images")
        kernel = tf.constant(np.linspace(-1, 1, 27 * filters).reshape(3, 3, 3, -1), tf.float32)
        bias = tf.constant(np.linspace(-1, 1, filters), tf.float32)
        scale = tf.sqrt(tf.constant(2.0) * tf.constant(8.0)) / tf.constant(4.0)  # it is 1
        x = tf.multiply(images, scale)
        centred = x - tf.reduce_mean(x)
        spread = tf.sqrt(tf.reduce_mean(tf.square(x - tf.reduce_mean(x))))  # the mean once more
        turned = tf.transpose(tf.transpose(centred / spread, (0, 2, 1, 3)), (0, 2, 1, 3))
        x = tf.nn.conv2d(turned, kernel, 1, "SAME")
        x = tf.nn.relu(tf.nn.bias_add(x, bias))
        tf.reduce_max(tf.exp(x), name="nobody_asks_for_it")
        answer = tf.reduce_mean(x, axis=(1, 2), name="answer")
    return graph, images, answer


def _run(graph: tf.Graph, answer, feed: dict, *, optimise: bool) -> tuple[np.ndarray, list[str]]:
    """Returns an answer, and the operations that a session ran for it."""
    config = v1.ConfigProto()
    if not optimise:
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = -1
    options, metadata = v1.RunOptions(output_partition_graphs=True), v1.RunMetadata()
    with v1.Session(graph=graph, config=config) as session:
        value = session.run(answer, feed, options=options, run_metadata=metadata)
    return value, [node.op for part in metadata.partition_graphs for node in part.node]


def execution_modes(*, steps: int = 60, batch: int = 64, seed: int = 0) -> Finding:
    """Eager, graph and XLA: the same training step, how long it takes in each.

    A step (forward, gradients, update) of two networks on the digits: one so small that calling
    operations is most of the work, one of convolutions. Written once, it is run operation by
    operation, as a traced graph, as a ten-step graph in a loop, and compiled by XLA. All start
    from the same weights and must have the same losses.

    Curriculum: row 101.

    Args:
        steps: that are timed; the median of six blocks of them counts.
        batch: pictures.
        seed: of the weights.
    """
    images, labels = digits.arrays("train")
    data = tf.constant(images[:batch] / 16.0, tf.float32), tf.constant(labels[:batch])
    networks = {
        "small network": lambda: models.mlp((8, 8, 1), 10, hidden_units=(32, 32)),
        "convolutions": lambda: models.convnet((8, 8, 1), 10, filters=(32, 64), dropout=0.0),
    }
    rows, numbers, bars = [], {}, {}
    for name, build in networks.items():
        times, losses = {}, {}
        for mode in MODES:
            keras.utils.set_random_seed(seed)
            losses[mode], times[mode], first = _time_mode(build(), data, mode, steps)
            rows.append((f"{name}, {mode}", times[mode], times["eager"] / times[mode], first))
        reference = np.array(losses["eager"])
        apart = max(float(np.abs(np.array(each) / reference - 1).max()) for each in losses.values())
        numbers[name] = {"milliseconds": times, "apart": apart}
        bars |= {f"{name}, {mode}": value for mode, value in times.items()}
    graph_wins = all(
        facts["milliseconds"]["graph"] < facts["milliseconds"]["eager"]
        for facts in numbers.values()
    )
    small = numbers["small network"]["milliseconds"]
    return Finding(
        claim="A traced graph runs the same step faster than operations one by one.",
        holds=graph_wins and all(facts["apart"] < 1e-3 for facts in numbers.values()),
        summary=f"The small network's step takes {small['eager']:.2f} ms eagerly, "
        f"{small['graph']:.2f} ms as a graph, {small['ten-step graph']:.2f} ms in a loop of "
        f"ten, {small['XLA']:.2f} ms compiled; the losses agree.",
        numbers=numbers,
        tables=[Table(("step", "ms", "times as fast as eager", "first call, s"), rows)],
        figures={"execution_modes": charts.bars(bars, "milliseconds a step", log=True)},
    )


MODES = ("eager", "graph", "ten-step graph", "XLA")
LOOP = 10


def _time_mode(model, data, mode: str, steps: int) -> tuple[list[float], float, float]:
    """Returns the first losses, the milliseconds of a step, and the seconds of the first call."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)
    variables = [each.value for each in model.trainable_variables]

    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True)["logits"])
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return loss

    def loop(images, labels):
        losses = tf.TensorArray(tf.float32, LOOP)
        for number in tf.range(LOOP):
            losses = losses.write(number, step(images, labels))
        return losses.stack()

    call = {
        "eager": step,
        "graph": tf.function(step),
        "ten-step graph": tf.function(loop),
        "XLA": tf.function(step, jit_compile=True),
    }[mode]
    in_a_call = LOOP if mode == "ten-step graph" else 1
    started = time.perf_counter()
    losses = list(np.ravel(call(*data)))
    first = time.perf_counter() - started
    while len(losses) < LOOP:
        losses += list(np.ravel(call(*data)))
    blocks = []
    for _ in range(6):
        started = time.perf_counter()
        for _ in range(max(1, steps // 6 // in_a_call)):
            last = call(*data)
        np.asarray(last)  # wait for it
        calls = max(1, steps // 6 // in_a_call) * in_a_call
        blocks.append((time.perf_counter() - started) / calls * 1000)
    return [float(each) for each in losses], float(np.median(blocks)), first


class Controlled(tf.Module):
    """Python's `if` and `while` on tensors, which AutoGraph turns into graph operations.

    Args:
        features: numbers in each step of a sequence.
        seed: of the weights.
    """

    def __init__(self, features: int, seed: int):
        super().__init__()
        random = np.random.default_rng(seed)
        self.recurrent = tf.Variable(random.normal(0, 0.5, (features, features)).astype("float32"))
        self.branch_traces = self.recurrent_traces = 0

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def branch(self, x):
        """Doubles where the sum is positive, else takes the absolute values."""
        self.branch_traces += 1  # Python runs while tracing only
        if tf.reduce_sum(x) > 0:
            y = 2.0 * x
        else:
            y = tf.abs(x)
        return {"y": y}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def recur(self, sequence):
        """Runs h = tanh(h W + x_t) over a sequence of any length."""
        self.recurrent_traces += 1
        state = tf.zeros_like(sequence[:1])
        step = 0
        while step < tf.shape(sequence)[0]:
            state = tf.tanh(tf.matmul(state, self.recurrent) + sequence[step : step + 1])
            step += 1
        return {"state": state[0]}


def _recur_in_numpy(sequence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    state = np.zeros(sequence.shape[1])
    for row in sequence:
        state = np.tanh(state @ weights + row)
    return state


# Runs in a process of its own, in which this package cannot be imported.
READER = """
import json, sys
sys.modules["dlcv_tf"] = None  # importing it raises ImportError
try:
    import dlcv_tf
except ImportError:
    alone = True
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
cases = json.loads(sys.stdin.read())
run = lambda name, key, value: loaded.signatures[name](
    tf.constant(np.array(value, "float32")))[key].numpy().tolist()
print(json.dumps({
    "alone": alone,
    "branches": [run("branch", "y", value) for value in cases["branches"]],
    "states": [run("recur", "state", value) for value in cases["sequences"]],
}))
"""


def exported_control_flow(*, features: int = 4, longest: int = 40, seed: int = 0) -> Finding:
    """A saved graph with `if` and `while` runs without the Python code that wrote it.

    A branch on the data and a recurrent loop over a sequence are traced once by AutoGraph, saved,
    and run by a fresh interpreter that cannot import this package, and by ONNX Runtime. Both ways
    of the branch must give their answers, and sequences of any length must go through the same
    trace.

    Curriculum: row 101.

    Args:
        features: numbers in each step of a sequence.
        longest: steps of the longest sequence.
        seed: of weights and sequences.
    """
    random = np.random.default_rng(seed)
    module = Controlled(features, seed)
    up, down = np.arange(1.0, 4.0), -np.arange(1.0, 4.0)
    lengths = sorted({1, 2, 3, longest // 2, longest})
    sequences = [random.normal(0, 1, (n, features)).astype(np.float32) for n in lengths]
    here = [module.branch(tf.constant(x, tf.float32))["y"].numpy() for x in (up, down)]
    states = [module.recur(sequence)["state"].numpy() for sequence in sequences]
    expected = [_recur_in_numpy(each, module.recurrent.numpy()) for each in sequences]
    branches_right = bool(np.array_equal(here[0], 2 * up) and np.array_equal(here[1], -down))
    traces = (module.branch_traces, module.recurrent_traces)
    with tempfile.TemporaryDirectory() as directory:
        signatures = {"branch": module.branch, "recur": module.recur}
        tf.saved_model.save(module, directory, signatures=signatures)
        elsewhere = _read_elsewhere(directory, [up, down], sequences)
    by_onnx = [_by_onnx(module.recur, sequences), _by_onnx(module.branch, [up, down])]
    apart = {
        "NumPy": _largest(states, expected),
        "without Python code": max(
            _largest(elsewhere["states"], states), _largest(elsewhere["branches"], here)
        ),
        "ONNX Runtime": max(_largest(by_onnx[0], states), _largest(by_onnx[1], here)),
    }
    return Finding(
        claim="Conditions and loops are part of an exported graph; it needs no Python.",
        holds=branches_right and traces == (1, 1) and max(apart.values()) < 1e-5,
        summary=f"Both branches give their answer, sequences of {', '.join(map(str, lengths))} "
        f"steps went through {traces[1]} trace; the SavedModel in an interpreter without this "
        f"package differs by {apart['without Python code']:.1e} and ONNX Runtime by "
        f"{apart['ONNX Runtime']:.1e}.",
        numbers={
            "traces": {"branch": traces[0], "loop": traces[1]},
            "lengths": lengths,
            "branches_right": branches_right,
            "apart": apart,
        },
        tables=[Table(("compared with", "largest difference"), list(apart.items()))],
    )


def _read_elsewhere(directory: str, branches: list, sequences: list) -> dict:
    """Returns what a SavedModel answers in a fresh interpreter without this package."""
    cases = {
        "branches": [np.asarray(each).tolist() for each in branches],
        "sequences": [np.asarray(each).tolist() for each in sequences],
    }
    done = subprocess.run(
        [sys.executable, "-c", READER, directory],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=pathlib.Path(directory).parent,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _by_onnx(function, inputs: list) -> list[np.ndarray]:
    """Returns what ONNX Runtime answers for each input."""
    converted, _ = tf2onnx.convert.from_function(
        function, function.input_signature, opset=ONNX_OPSET
    )
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return [session.run(None, {name: np.asarray(each, np.float32)})[0] for each in inputs]


def _largest(one: list, other: list) -> float:
    """Returns the largest difference of any number; infinite where one is not finite."""
    largest = 0.0
    for first, second in zip(one, other, strict=True):
        difference = np.abs(np.asarray(first) - np.asarray(second)).max()
        largest = max(largest, float(difference) if np.isfinite(difference) else float("inf"))
    return largest


LABS = (graph_optimization, execution_modes, exported_control_flow)
