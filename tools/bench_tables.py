"""What `tools/bench.py` prints: the names of what was measured, and the tables."""

import sys

from dlcv_tf.cli import tables

BUSY = 0.5  # load from which on the figures are not to be trusted

TRAINING = {
    "ours": "our loop",
    "plain": "Keras fit",
    "torch eager": "PyTorch",
    "torch channels_last": "PyTorch channels-last",
    "torch compile": "PyTorch compiled",
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
    print(f"NumPy's sgemm: {facts['sgemm_gflops']:.0f} GFLOP/s")
    found = {"python": facts["python"]} | results["versions"]
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    if facts["load_before"] > BUSY:
        print(
            f"NOTE: this machine is not idle, its load is {facts['load_before']}. The figures will "
            "not hold: other programs slow PyTorch down by a multiple of what they take"
        )
    sys.stdout.flush()


def print_training(training: dict, expected: float) -> None:
    """Prints the table of training speeds, and that of the verdicts.

    Args:
        training: the networks measured.
        expected: what ours has to do of the plain fit's speed.
    """
    rows = []
    for name, network in training["networks"].items():
        titles = [name, f"batch {network['batch_size']}", network["unit"]]
        lines = [training_row(entry) for entry in network["variants"].values()]
        lines += [(TRAINING[variant], "not run", *[""] * 6) for variant in network["failed"]]
        titles += [""] * (len(lines) - len(titles) + 1)  # and an empty row between networks
        lines += [("",) * 8] * (len(titles) - len(lines))
        rows += [(title, *line) for title, line in zip(titles, lines, strict=True)]
    header = (
        "network",
        "variant",
        "per s",
        "spread",
        "GFLOP/s",
        "sgemm",
        "cores",
        "start",
        "ratio",
    )
    title = (
        "Training: pictures or tokens per second, their spread over the rounds; share of sgemm's\n"
        "GFLOP/s; cores busy; start to the end of the first step; ratio of our speed to this one's"
    )
    tables.print_table(title, header, rows)
    rows = []
    for name, network in training["networks"].items():
        ratios = {v: entry["ours_to_this"] for v, entry in network["variants"].items()}
        plain = ratios["plain"]
        torch = [ratio for v, ratio in ratios.items() if v.startswith("torch")]
        rows.append(
            (
                name,
                network["what"],
                "PASSED" if plain >= expected else "FAILED",
                f"{plain:.2f}",
                f"{min(torch):.2f}" if torch else "not run",
            )
        )
    header = ("network", "what", "verdict", "ours / Keras fit", "ours / best PyTorch")
    tables.print_table("Our training beside the others", header, rows)


def training_row(entry: dict) -> tuple[str, ...]:
    """Returns the figures of one variant as texts."""
    spread = (max(entry["rounds"]) - min(entry["rounds"])) / entry["per_second"]
    return (
        entry["what"],
        f"{entry['per_second']:,.0f}",
        f"{spread:.0%}",
        f"{entry['gflops']:.1f}",
        f"{entry['of_sgemm']:.0%}",
        f"{entry['cores_busy']:.2f}",
        f"{entry['facts']['start_seconds']:.0f} s",
        f"{entry['ours_to_this']:.2f}",
    )


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
