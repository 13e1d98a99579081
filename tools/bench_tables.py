"""What `tools/bench.py` prints: the names of what was measured, and the tables."""

import sys

from dlcv_tf.cli import tables

BUSY = 0.5  # load from which on the figures are not to be trusted

TRAINING = {
    "ours": "dlcv train: own loop, deterministic ops",
    "plain": "Keras fit, as a user writes it",
    "torch eager": "PyTorch 2.13",
    "torch channels_last": "PyTorch 2.13, channels-last",
    "torch compile": "PyTorch 2.13, channels-last, compiled",
}
RUNTIMES = {
    "onnx": "ONNX Runtime",
    "tflite": "LiteRT float32",
    "tflite_int8": "LiteRT int8",
    "saved_model": "TensorFlow SavedModel",
}
REQUEST_NAMES = {"png": "PNG body", "pixels": "JSON pixel values", "base64": "JSON base64 PNG"}


def print_machine(results: dict) -> None:
    """Prints date, machine and versions, and a warning where the machine is not idle."""
    facts = results["machine"]
    print(f"{results['date']}  {facts['cpu']}, {facts['cores']} cores, {facts['system']}")
    found = {"python": facts["python"]} | results["versions"]
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    if facts["load_before"] > BUSY:
        print(
            f"NOTE: this machine is not idle, its load is {facts['load_before']}. The figures will "
            "not hold: other programs slow PyTorch down by a multiple of what they take"
        )
    sys.stdout.flush()


def print_training(training: dict) -> None:
    """Prints the table of training speeds."""
    rows = [
        (
            name,
            entry["what"],
            f"{entry['pictures_per_second']:.0f}",
            f"{min(entry['rounds']):.0f} - {max(entry['rounds']):.0f}",
            f"{entry['cores_busy']:.2f}",
            f"{entry['ours_to_this']:.2f}",
        )
        for name, entry in training["variants"].items()
    ]
    rows += [(name, TRAINING[name], *["not run"] * 4) for name in training["failed"]]
    batch_size = training["variants"]["ours"]["facts"]["batch_size"]
    pictures = training["pictures"].partition(" (")[0]  # without why they are random ones
    title = f"Training of ResNet-20, batch {batch_size}, on {pictures}"
    header = ("variant", "what", "pictures/s", "rounds", "cores busy", "ours / this")
    tables.print_table(title, header, rows)


def print_inference(inference: dict | None) -> None:
    """Prints the tables of the runtimes and of the server's overhead."""
    if inference is None:
        print("inference was not measured: there is no artifact, make quickstart makes one")
        return
    rows = [
        (
            RUNTIMES[entry["runtime"]],
            entry["runtime"],
            str(entry["batch"]),
            f"{entry['milliseconds']:.2f}",
            f"{1000 * entry['batch'] / entry['milliseconds']:.0f}",
        )
        for entry in inference["runtimes"]
    ]
    header = ("runtime", "format", "batch", "ms", "pictures/s")
    tables.print_table(f"Inference of {inference['artifact']}, bare runtimes", header, rows)
    rows = [
        (
            REQUEST_NAMES[entry["request"]],
            "dlcv serve",
            str(entry["batch"]),
            f"{entry['milliseconds']:.2f}",
            f"{entry['bare_milliseconds']:.2f}",
            f"{entry['overhead_milliseconds']:.2f}",
            f"{entry['overhead_milliseconds'] / entry['batch']:.3f}",
        )
        for entry in inference["server"]
    ]
    header = ("request", "server", "batch", "ms", "bare ms", "overhead ms", "per picture")
    title = "Our server over loopback HTTP, beside bare ONNX Runtime"
    tables.print_table(title, header, rows)
