"""`make bench`: speed of training and of inference beside the alternatives, on this machine's CPU.

Training of `cifar10_resnet20` stands beside the same network in a plain Keras `fit` and in PyTorch,
inference of an artifact and of our server beside the bare runtimes. Each variant is a process of
its own, and short blocks of all of them alternate, so that whatever else slows the machine down
slows all of them down; figures are medians over the rounds, ratios those of the same round.

    python tools/bench.py              ten minutes; --quick is for trying

Writes `.bench/results.json`. Ends with 1 if our training is slower than the plain `fit`.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

from bench_tables import RUNTIMES, TRAINING, print_inference, print_machine, print_training
from bench_worker import Worker, WorkerError

from dlcv_tf.artifact import manifest
from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.cli import targets

ROOT = pathlib.Path(__file__).parents[1]
TOOLS = ROOT / "tools"
OUTPUT = ROOT / ".bench"
TORCH_VENV = ROOT / ".venv-bench"
TORCH = "2.13.0"
PACKAGES = ("tensorflow", "keras", "onnxruntime", "ai-edge-litert", "uvicorn", "numpy")

TOLERANCE = 0.05  # what ours may be slower than the plain fit: the noise of such a measurement

# Rounds; training steps in a block; seconds of calls in a block of inference.
FULL = {"rounds": 8, "steps": 10, "block_seconds": 0.5}
QUICK = {"rounds": 2, "steps": 2, "block_seconds": 0.1}

BATCH_SIZES = (1, 32)
REQUESTS = (("png", 1), ("pixels", 1), ("pixels", 32), ("base64", 1), ("base64", 32))


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints the tables, writes the results.

    Returns:
        0, or 1 if our training is slower than the plain fit.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, only to try it")
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else FULL
    started = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    results = {"date": now(), "quick": options.quick, "machine": machine(), "versions": versions()}
    print_machine(results)
    with tempfile.TemporaryDirectory() as directory:
        pictures = pathlib.Path(directory) / "pictures.npz"
        results["training"] = measure_training(pictures, settings)
        print_training(results["training"])
        passed, results["verdict"] = verdict(results["training"])
        results["inference"] = measure_inference(artifact_directory(), pictures, settings)
        print_inference(results["inference"])
    results["seconds"] = round(time.monotonic() - started)
    path = OUTPUT / "results.json"
    path.write_text(json.dumps(rounded(results), indent=1) + "\n")
    print(f"{path.relative_to(ROOT)} written after {results['seconds']} s")
    print(results["verdict"])
    return 0 if passed else 1


def now() -> str:
    """Returns the date and time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def machine() -> dict:
    """Returns what the figures depend on: processor, cores, system, and what else is running."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux has it
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Returns the versions of the packages measured."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def torch_python() -> pathlib.Path | None:
    """Returns the Python of PyTorch's own environment, made here once; None where that fails."""
    python = TORCH_VENV / "bin" / "python"
    probe = f"import numpy, torch; raise SystemExit(torch.__version__.split('+')[0] != '{TORCH}')"
    if (
        python.exists()
        and subprocess.run([python, "-c", probe], capture_output=True).returncode == 0
    ):
        return python
    print(f"making {TORCH_VENV.name} with PyTorch {TORCH}: some minutes, once", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", TORCH_VENV], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"torch=={TORCH}", "numpy"], check=True
        )
    except subprocess.CalledProcessError as error:
        print(f"there will be no figures of PyTorch: {error}", flush=True)
        return None
    return python


def measure_training(pictures: pathlib.Path, settings: dict) -> dict:
    """Returns the pictures per second of every variant in every round.

    Args:
        pictures: file to write the shared training pictures to.
        settings: `FULL` or `QUICK`.
    """
    script = TOOLS / "bench_training.py"
    commands = {name: [sys.executable, script, name, pictures] for name in ("ours", "plain")}
    if python := torch_python():
        for name in ("eager", "channels_last", "compile"):
            commands[f"torch {name}"] = [python, TOOLS / "bench_torch.py", name, pictures]
    failed = {name: "no environment" for name in TRAINING if name not in commands}
    with Worker("pictures", [sys.executable, script, "pictures", pictures], OUTPUT) as writer:
        source = writer.facts["source"]
    print(f"training on {source}", flush=True)
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, command in commands.items():
            print(f"  starting {TRAINING[name]}", flush=True)
            try:
                workers[name] = stack.enter_context(Worker(name, command, OUTPUT))
            except WorkerError as error:
                if name in ("ours", "plain"):
                    raise
                failed[name] = str(error)
                print(f"  there will be no figure of it: {error}", flush=True)
        check_same(workers)
        blocks = alternate(workers, settings["rounds"], {"steps": settings["steps"]})
    pictures_per_block = workers["ours"].facts["batch_size"] * settings["steps"]
    return summarize(source, workers, blocks, pictures_per_block) | {"failed": failed}


def check_same(workers: dict[str, Worker]) -> None:
    """Raises ValueError unless all variants train as many parameters on batches of one size."""
    sizes = {
        name: (worker.facts["parameters"], worker.facts["batch_size"])
        for name, worker in workers.items()
    }
    if len(set(sizes.values())) > 1:
        raise ValueError(f"got (parameters, batch size) {sizes}, expected the same for all")


def alternate(workers: dict[str, Worker], rounds: int, request: dict) -> dict[str, list[dict]]:
    """Returns the blocks of every worker, one in each round, every second round in reverse."""
    blocks = {name: [] for name in workers}
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", flush=True)
        order = list(workers) if number % 2 == 0 else list(reversed(workers))
        for name in order:
            blocks[name].append(workers[name].measure(**request))
    return blocks


def summarize(source: str, workers: dict, blocks: dict, pictures_per_block: int) -> dict:
    """Returns medians over the rounds, and the median ratio of ours to each other variant."""
    speeds = {
        name: [pictures_per_block / block["seconds"] for block in measured]
        for name, measured in blocks.items()
    }
    variants = {}
    for name, values in speeds.items():
        ratios = [ours / other for ours, other in zip(speeds["ours"], values, strict=True)]
        cores = [block["cpu_seconds"] / block["seconds"] for block in blocks[name]]
        variants[name] = {
            "what": TRAINING[name],
            "pictures_per_second": statistics.median(values),
            "rounds": values,
            "cores_busy": statistics.median(cores),
            "ours_to_this": statistics.median(ratios),
            "facts": workers[name].facts,
        }
    return {"pictures": source, "variants": variants}


def verdict(training: dict) -> tuple[bool, str]:
    """Tells whether our training is as fast as the plain fit, and says it in a sentence."""
    ratio = training["variants"]["plain"]["ours_to_this"]
    passed = ratio >= 1 - TOLERANCE
    return passed, (
        f"{'PASSED' if passed else 'FAILED'}: our training does {ratio:.3f} times the pictures per "
        f"second of the plain fit, expected at least {1 - TOLERANCE:.2f}"
    )


def artifact_directory() -> pathlib.Path | None:
    """Returns the shipped artifact, else any other there is, else the quickstart's, else None."""
    models = [ROOT / "savedmodels" / "cifar10_resnet20"]
    for root in (ROOT / "savedmodels", ROOT / "runs" / "quickstart" / "savedmodels"):
        models += sorted(path for path in root.glob("*") if path.is_dir())
    for model in models:
        with contextlib.suppress(ArtifactError):
            return targets.artifact(str(model))
    return None


def measure_inference(
    directory: pathlib.Path | None, pictures: pathlib.Path, settings: dict
) -> dict | None:
    """Returns the milliseconds of a call of every runtime and of the server.

    Args:
        directory: the artifact; without one there is no result.
        pictures: file of training pictures, used where the artifact takes that size.
        settings: `FULL` or `QUICK`.
    """
    if directory is None:
        return None
    facts = manifest.verify(directory)
    print(f"inference of {facts.name}/{facts.version}", flush=True)
    runtimes = [name for name in RUNTIMES if name in facts.formats]
    cells = [(name, "", batch) for name in runtimes for batch in BATCH_SIZES]
    cells += [("server", kind, batch) for kind, batch in REQUESTS]
    times = {cell: [] for cell in cells}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in [*runtimes, "server"]:
            command = [sys.executable, TOOLS / "bench_inference.py", name, directory, pictures]
            workers[name] = stack.enter_context(Worker(name, command, OUTPUT))
        for number in range(settings["rounds"]):
            for name, kind, batch in cells if number % 2 == 0 else reversed(cells):
                request = {"kind": kind, "batch": batch, "seconds": settings["block_seconds"]}
                answer = workers[name].measure(**request)
                times[name, kind, batch].append(answer["milliseconds"])
    return {
        "artifact": f"{facts.name}/{facts.version}",
        "runtimes": [
            {"runtime": name, "batch": batch} | spread(times[name, "", batch])
            for name in runtimes
            for batch in BATCH_SIZES
        ],
        "server": [
            {"request": kind, "batch": batch}
            | spread(times["server", kind, batch])
            | overhead(times["server", kind, batch], times["onnx", "", batch])
            for kind, batch in REQUESTS
        ],
    }


def spread(milliseconds: list[float]) -> dict:
    """Returns the median over the rounds, and the rounds."""
    return {"milliseconds": statistics.median(milliseconds), "rounds": milliseconds}


def overhead(server: list[float], bare: list[float]) -> dict:
    """Returns what the server adds to bare ONNX Runtime in the same round, the median of that."""
    added = [ours - alone for ours, alone in zip(server, bare, strict=True)]
    return {
        "bare_milliseconds": statistics.median(bare),
        "overhead_milliseconds": statistics.median(added),
    }


def rounded(value):
    """Returns nested results with their numbers cut to four digits."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
