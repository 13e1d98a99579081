"""The floors of the package, and the sizes and habits of its files, read from the source itself."""

import ast
import fnmatch
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "dlcv_tf"

# A room imports only from rooms on lower floors, never from one on its own.
FLOORS = (
    {"ops", "artifact"},
    {"layers", "plots"},
    {"losses", "metrics", "optimizers", "data"},
    {"models"},
    {"train", "explain", "synthesize", "attacks", "rl"},
    {"tasks"},
    {"recipes", "labs", "export", "serve", "packaging"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FLOOR["errors"] = -1  # below all
TENSORFLOW = {"tensorflow", "keras", "tensorflow_datasets", "tf2onnx"}

FILE_LINES = 450
FUNCTION_LINES = 90
ARGUMENTS = 8
UNCOUNTED = ("self", "cls", "verbose")  # the last one changes nothing but what is shown

TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py")])
}


def room_of(name):
    """Returns the room of a source file: `dlcv_tf/ops/images.py` is in `ops`."""
    parts = pathlib.PurePosixPath(name).parts
    return parts[1].removesuffix(".py") if parts[0] == "dlcv_tf" else None


def imported(name):
    """Returns the dotted names of all that a file imports, inside functions too."""
    package = pathlib.PurePosixPath(name).parts[:-1]
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(name):
    parts = (dotted.split(".") for dotted in imported(name))
    names = {inside[1] for inside in parts if inside[0] == "dlcv_tf" and inside[1:]}
    return names - {"__version__"}


def files_to_keep():
    """Returns every file of the tree but what `.gitignore` names; git itself may not be there."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]
    for folder, folders, names in os.walk(ROOT):
        for entries in (folders, names):
            entries[:] = [
                entry for entry in entries if not any(fnmatch.fnmatch(entry, p) for p in ignored)
            ]
        yield from (pathlib.Path(folder, name) for name in names)


def test_every_room_has_a_floor():
    rooms = {room_of(name) for name in TREES} - {None, "__init__"}
    assert "cli" in rooms
    assert rooms <= FLOOR.keys()


def test_a_room_imports_only_from_rooms_below():
    wrong = [
        f"{name} imports {other}"
        for name in TREES
        if (room := room_of(name))
        for other in rooms_imported(name) - {room}
        if FLOOR.get(other, 99) >= FLOOR.get(room, -1)
    ]
    assert not wrong


def test_artifact_and_serve_know_no_tensorflow_and_serve_knows_artifacts_only():
    wrong = []
    for name in TREES:
        # A process of its own, which no other file imports.
        is_worker = name == "dlcv_tf/serve/tensorflow_worker.py"
        wrong += [f"{name} imports {d}" for d in imported(name) if d.endswith("tensorflow_worker")]
        if room_of(name) in ("artifact", "serve") and not is_worker:
            wrong += [
                f"{name} imports {d}" for d in imported(name) if d.split(".")[0] in TENSORFLOW
            ]
        if room_of(name) == "serve":
            others = rooms_imported(name) - {"serve", "artifact", "errors"}
            wrong += [f"{name} imports {other}" for other in others]
    assert not wrong


@pytest.mark.parametrize("module", ["dlcv_tf", "dlcv_tf.cli.main", "dlcv_tf.serve.app"])
def test_importing_loads_no_tensorflow(module):
    program = f"import sys, {module}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = {name.split(".")[0] for name in output.stdout.decode().split()}
    assert "dlcv_tf" in loaded
    assert not loaded & TENSORFLOW


def test_sizes():
    wrong = []
    for name, tree in TREES.items():
        lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            wrong.append(f"{name} has {lines} lines")
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            where = f"{name}:{node.lineno} {node.name}"
            if node.end_lineno - node.lineno > FUNCTION_LINES:
                wrong.append(f"{where} has {node.end_lineno - node.lineno} lines")
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if sum(argument.arg not in UNCOUNTED for argument in taken) > ARGUMENTS:
                wrong.append(f"{where} takes more than {ARGUMENTS} arguments")
    assert not wrong


def test_errors_are_raised_not_asserted():
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert not wrong


def test_rooms_and_files_are_named_for_their_subject():
    nondescript = {"util", "utils", "helper", "helpers", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem.lower() in nondescript]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    # The brackets keep these patterns from finding themselves.
    hosts = rb"p[y]pi\.org|python[h]osted|registry\.npm[j]s|deb\.deb[i]an"
    paths = rb"(?<![\w.])/(w[o]rk|r[o]ot|h[o]me|f[a]rm|tmp/b[a]sh_jobs)/"
    forbidden = re.compile(hosts + rb"|" + paths)
    files = list(files_to_keep())
    assert ROOT / "pyproject.toml" in files
    found = {str(path): forbidden.search(path.read_bytes()) for path in files if path.is_file()}
    assert not {name: match[0] for name, match in found.items() if match}
