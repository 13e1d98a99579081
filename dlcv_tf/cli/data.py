"""`dlcv data`: `dlcv data check PATH` finds what is wrong with your pictures before a training.

Exit status: 0 where nothing is broken, 2 where something is.
"""

import argparse
import collections
import json
import pathlib
import re
import sys

from dlcv_tf.cli import console, tables
from dlcv_tf.errors import unknown

ACTIONS = ("check",)
SHOWN = 5  # faults of one kind that are printed; the page has more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.epilog = "Exit status 0: nothing is broken (warnings are allowed). 2: something is."
    parser.add_argument("action", metavar="check", help="what to do; check is all there is")
    parser.add_argument(
        "path", help="a folder, or FORMAT:PATH with voc, coco, yolo, masks, joints or folder"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where the page goes (default: runs/data/FOLDER)"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def run(options: argparse.Namespace) -> int:
    """Checks a data set, prints what was found, and writes the page."""
    if options.action not in ACTIONS:
        raise unknown("action of dlcv data", options.action, ACTIONS)
    with console.tensorflow_quietly():
        from dlcv_tf.data import checker

        report = checker.check(options.path)
    folder = re.sub(r"\?.*", "", options.path.partition(":")[2] or options.path)
    directory = pathlib.Path(options.out or f"runs/data/{pathlib.Path(folder).resolve().name}")
    page = _write(directory, report)
    if options.json:
        console.print_json(_facts(report) | {"report": str(page)})
    else:
        _print(report)
        print(f"{verdict(report)}; page with drawn samples: {page}")
    return 2 if report.broken else 0


def verdict(report) -> str:
    """Returns what is said of a `data.checker.Report` in one line."""
    broken, warnings = len(report.broken), len(report.warnings)
    found = [f"{broken} broken"] if broken else ["nothing is broken"]
    if warnings:
        found.append("1 warning" if warnings == 1 else f"{warnings} warnings")
    return ", ".join(found)


def kinds(faults) -> dict[str, list]:
    """Returns faults by their kind, broken ones first, then those of which there are most."""
    found = collections.defaultdict(list)
    for fault in faults:
        found[fault.kind].append(fault)
    order = sorted(found, key=lambda kind: (not found[kind][0].broken, -len(found[kind])))
    return {kind: found[kind] for kind in order}


def _print(report) -> None:
    """Prints the splits, the classes, and the faults by kind."""
    rows = [
        (
            split.name,
            f"{split.num_pictures:,}",
            f"{split.num_objects:,}",
            f"{split.without_objects:,}",
            " / ".join(f"{number:.4g}" for number in split.objects),
        )
        for split in report.splits
    ]
    things = "pixels" if report.kind == "class_map" else "objects"
    header = ("split", "pictures", things, "without any", "each: least / mean / most")
    tables.print_table(report.name, header, rows)
    counts = [
        (label, *(f"{split.counts.get(label, 0):,}" for split in report.splits))
        for label in report.labels
    ]
    tables.print_table("", ("class", *(split.name for split in report.splits)), counts)
    for kind, faults in kinds(report.faults).items():
        state = "BROKEN" if faults[0].broken else "warning"
        print(f"{state}: {kind}, {len(faults)} times" if len(faults) > 1 else f"{state}: {kind}")
        for fault in faults[:SHOWN]:
            print(f"  {fault.where}: {fault.message}")
        if len(faults) > SHOWN:
            print(f"  and {len(faults) - SHOWN} more")
    sys.stdout.flush()


def _facts(report) -> dict:
    """Returns a report as plain JSON values."""
    splits = [
        {
            "name": split.name,
            "pictures": split.num_pictures,
            "objects": split.num_objects,
            "without_objects": split.without_objects,
            "classes": split.counts,
            "sizes": [
                {"height": height, "width": width, "pictures": count}
                for (height, width), count in sorted(split.sizes.items())
            ],
            "objects_per_picture": dict(zip(("least", "mean", "most"), split.objects, strict=True)),
        }
        for split in report.splits
    ]
    faults = [
        {
            "kind": fault.kind,
            "broken": fault.broken,
            "where": str(fault.where),
            "message": fault.message,
        }
        for fault in report.faults
    ]
    return {
        "data": report.name,
        "targets": report.kind,
        "labels": list(report.labels),
        "passed": not report.broken,
        "splits": splits,
        "faults": faults,
    }


def _write(directory: pathlib.Path, report) -> pathlib.Path:
    """Writes report.html and numbers.json; returns the page."""
    from dlcv_tf.cli import data_report

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "numbers.json").write_text(json.dumps(_facts(report), indent=1))
    page = directory / "report.html"
    page.write_text(data_report.page(report, verdict(report), kinds(report.faults)))
    return page
