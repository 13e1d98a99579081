"""`dlcv benchmark`: every format of an artifact, run by its runtime on this machine."""

import argparse
import pathlib

from dlcv_tf.cli import console, tables, targets

HEADER = ("format", "runtime", "accuracy", "size", "batch", "ms", "pictures/s")
DECODE = "decoding"  # one more column where the task says where things are


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("artifact", help="savedmodels/NAME or savedmodels/NAME/VERSION")
    parser.add_argument(
        "pictures", nargs="*", help="picture files to time it on (default: a drawn one)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(options: argparse.Namespace) -> int:
    """Times every format and prints the table; accuracy and size are the manifest's."""
    from dlcv_tf.artifact import manifest

    directory = targets.artifact(options.artifact)
    facts = manifest.verify(directory)
    pictures = _pictures(options.pictures, facts) if options.pictures else None
    with console.tensorflow_quietly():
        from dlcv_tf.export import benchmark
    results = benchmark.benchmark(directory, facts, pictures)
    if options.json:
        console.print_json({"artifact": str(directory), "results": results})
        return 0
    metric = facts.main_metric
    header = tuple(metric if name == "accuracy" else name for name in HEADER)
    rows = [
        (
            result["format"],
            result["runtime"],
            f"{facts.formats[result['format']][metric]:.4f}",
            f"{facts.formats[result['format']]['bytes'] / 1e6:.2f} MB",
            str(result["batch_size"]),
            f"{result['milliseconds']:.2f}",
            f"{1000 * result['batch_size'] / result['milliseconds']:.0f}",
        )
        for result in results
    ]
    if any(result["decode_share"] is not None for result in results):
        header = (*header, DECODE)
        rows = [(*row, _percent(r["decode_share"])) for row, r in zip(rows, results, strict=True)]
    tables.print_table(f"{facts.name}/{facts.version} on this machine", header, rows)
    return 0


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _pictures(names: list[str], facts):
    """Returns the pictures of some files, brought to the network's size so that they can batch."""
    import numpy as np

    from dlcv_tf.artifact import pictures

    found = []
    for name in names:
        picture = pictures.decode(
            pathlib.Path(name).read_bytes(), channels=facts.preprocessing["channels"]
        )
        resized = pictures.resize(picture[None], tuple(facts.preprocessing["size"]))
        found.append(np.clip(np.rint(resized[0]), 0, 255).astype(np.uint8))
    return np.stack(found)
