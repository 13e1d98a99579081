"""`dlcv package`: artifacts with the configuration of another server, or of a cluster."""

import argparse
import pathlib

from dlcv_tf.cli import console, targets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="tf-serving, triton, docker, kubernetes, kserve or ray",
    )
    parser.add_argument(
        "artifacts",
        nargs="+",
        metavar="ARTIFACT",
        help="savedmodels/NAME (its newest version) or savedmodels/NAME/VERSION; the older of two "
        "versions is labelled stable, the newer canary",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="directory of the package"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the files of a package that is there"
    )
    parser.add_argument(
        "--no-copy",
        action="store_true",
        help="leave the models where they are, and name them by paths relative to the package",
    )
    parser.add_argument(
        "--image",
        metavar="NAME",
        help="image of dlcv serve, as a cluster pulls it (default: dlcv-serve:VERSION)",
    )
    parser.add_argument(
        "--storage",
        metavar="URI",
        help="where KServe finds a tree of NAME/VERSION (default: pvc://models)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Writes the package and says how to go on."""
    from dlcv_tf.packaging import package, plan

    chosen = {
        name: value
        for name in ("image", "storage")
        if (value := getattr(arguments, name)) is not None
    }
    place = plan.Plan(pathlib.Path(arguments.output), copy=not arguments.no_copy, **chosen)
    package.check_target(arguments.target)
    directories = [targets.artifact(each) for each in arguments.artifacts]
    written = package.write(arguments.target, directories, place, arguments.force)
    if arguments.json:
        console.print_json(
            {"package": arguments.output, "target": arguments.target, "files": written}
        )
        return 0
    for path in written:
        print(f"  {path}")
    print(f"{arguments.output}: {package.TARGETS[arguments.target]}")
    print(f"next: {pathlib.Path(arguments.output, 'README.md')} says how to start it")
    return 0
