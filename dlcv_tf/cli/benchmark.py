"""`dlcv benchmark`: every format of an artifact, run by its runtime on this machine."""

import argparse

from dlcv_tf.cli import console, tables, targets

HEADER = ("format", "runtime", "accuracy", "size", "batch", "ms", "pictures/s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("artifact", help="savedmodels/NAME or savedmodels/NAME/VERSION")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(options: argparse.Namespace) -> int:
    """Times every format and prints the table; accuracy and size are the manifest's."""
    from dlcv_tf.artifact import manifest

    directory = targets.artifact(options.artifact)
    facts = manifest.verify(directory)
    with console.tensorflow_quietly():
        from dlcv_tf.export import benchmark
    results = benchmark.benchmark(directory, facts)
    if options.json:
        console.print_json({"artifact": str(directory), "results": results})
        return 0
    rows = [
        (
            result["format"],
            result["runtime"],
            f"{facts.formats[result['format']]['accuracy']:.4f}",
            f"{facts.formats[result['format']]['bytes'] / 1e6:.2f} MB",
            str(result["batch_size"]),
            f"{result['milliseconds']:.2f}",
            f"{1000 * result['batch_size'] / result['milliseconds']:.0f}",
        )
        for result in results
    ]
    tables.print_table(f"{facts.name}/{facts.version} on this machine", HEADER, rows)
    return 0
