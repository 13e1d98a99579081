"""The certified table: what each format of an artifact answers, weighs and takes."""

from dlcv_tf.artifact.manifest import Manifest

# The last two: median milliseconds of a call on 1 and on 32 pictures. In the place of "accuracy"
# stands what else the task is measured by.
HEADER = ("format", "runtime", "worst error", "accuracy", "size", "ms 1", "ms 32")
WIDE = 120  # columns to print where there is no terminal


def format_rows(manifest: Manifest) -> list[tuple[str, ...]]:
    """Returns one row of texts per format, in the order of `HEADER`."""
    return [
        (
            name,
            entry["runtime"],
            f"{entry['worst_error']:.1e}",
            f"{entry[manifest.main_metric]:.4f}",
            f"{entry['bytes'] / 1e6:.2f} MB",
            f"{entry['latency_ms']['1']:.2f}",
            f"{entry['latency_ms']['32']:.2f}",
        )
        for name, entry in manifest.formats.items()
    ]


def print_formats(manifest: Manifest) -> None:
    """Prints the certified table of an artifact."""
    certified = manifest.certified_on
    title = (
        f"{manifest.name}/{manifest.version}, certified on "
        f"{certified.get('pictures')} pictures of {certified.get('data')}"
    )
    if "note" in certified:
        title += f" ({certified['note']})"
    header = tuple(manifest.main_metric if name == "accuracy" else name for name in HEADER)
    print_table(title, header, format_rows(manifest))
    for name, reason in manifest.left_out.items():
        print(f"no {name}: {reason}")


def print_table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints a table with numbers to the right, and its title above unless that is empty."""
    import rich.box
    import rich.console
    import rich.table

    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = rich.console.Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    if title:  # not the table's own, which is broken at the width of a narrow table
        console.print(title, style="italic", markup=False, highlight=False)
    console.print(table)
