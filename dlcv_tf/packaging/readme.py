"""What the READMEs of all packages share."""

from collections.abc import Sequence

from dlcv_tf.packaging.models import Model, by_name, labels


def text(title: str, models: Sequence[Model], command: str, body: str, checked: str) -> str:
    """Returns the README of a package.

    Args:
        title: of the target.
        models: what it serves.
        command: the target, as `dlcv package` takes it.
        body: how to start and call it.
        checked: what was run of it, and what was only compared with schemas.
    """
    return (
        f"# {title}\n\n"
        f"Made by `dlcv package {command}`, which writes it anew with `--force`.\n\n"
        f"{_table(models)}\n\n{body.strip()}\n\n"
        f"## What was tried, and what was not\n\n{checked.strip()}\n"
    )


def _table(models: Sequence[Model]) -> str:
    rows = [
        "| model | versions | labels | task | pictures | answers |",
        "|---|---|---|---|---|---|",
    ]
    for name, versions in by_name(models):
        newest = versions[-1]
        size = newest.manifest.preprocessing.get("size", ["any", "any"])
        answers = ", ".join(f"`{output}`" for output in newest.tensors["outputs"])
        numbers = ", ".join(str(model.version) for model in versions)
        given = ", ".join(f"{key} {value}" for key, value in labels(versions).items()) or "none"
        rows.append(
            f"| {name} | {numbers} | {given} | {newest.manifest.task} | "
            f"any size, best {size[0]} x {size[1]} | {answers} |"
        )
    return "\n".join(rows)
