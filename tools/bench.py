"""`make bench`: speed of training and of inference beside the alternatives, on this machine's CPU.

Training of six networks with our loop stands beside a plain Keras `fit` of the same network and
beside PyTorch, that of the shipped detector and segmenter beside `fit` of the same task, nearest
neighbours beside scikit-learn's, suppression and alignment of boxes beside `tf.image`, inference of
an artifact and of our server beside the bare runtimes. Each variant is a process of its own, and
short blocks of all of them alternate, so that whatever else slows the machine down slows all of
them down; figures are medians over the rounds, ratios those of the same round.

    python tools/bench.py              half an hour; --quick is for trying
    python tools/bench.py --only mlp,unet,neighbours,boxes,tasks --skip-inference

Writes `.bench/results.json`. Ends with 1 if our training of any network is slower than the plain
`fit`, or our search for neighbours than scikit-learn's.
"""

import argparse
import contextlib
import datetime
import json
import pathlib
import statistics
import sys
import tempfile
import time

import bench_detection
import bench_neighbours
import bench_tasks
from bench_machine import machine, torch_python, versions
from bench_tables import RUNTIMES, TRAINING, print_inference, print_machine, print_training
from bench_worker import Worker, WorkerError
from bench_workloads import WORKLOADS, Workload

from dlcv_tf.artifact import manifest
from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.cli import targets

ROOT = pathlib.Path(__file__).parents[1]
TOOLS = ROOT / "tools"
OUTPUT = ROOT / ".bench"

TOLERANCE = 0.05  # what ours may be slower than the plain fit: the noise of such a measurement

# Rounds; training steps in a block, None for the workload's own; seconds in one of inference;
# points to search for neighbours.
FULL = {"rounds": 8, "steps": None, "block_seconds": 0.5, "examples": 50_000}
QUICK = {"rounds": 2, "steps": 2, "block_seconds": 0.1, "examples": 5_000}
NEIGHBOURS, BOXES, TASKS = "neighbours", "boxes", "tasks"

BATCH_SIZES = (1, 32)
REQUESTS = (("png", 1), ("pixels", 1), ("pixels", 32), ("base64", 1), ("base64", 32))


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints the tables, writes the results.

    Returns:
        0, or 1 if our training of a network is slower than the plain fit, or our neighbours are.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, only to try it")
    parser.add_argument(
        "--only",
        type=names,
        default=[*WORKLOADS, NEIGHBOURS, BOXES, TASKS],
        metavar="NAME,NAME",
        help="networks to train, and whether to search for neighbours, work on boxes and train the "
        "shipped tasks",
    )
    parser.add_argument("--skip-inference", action="store_true", help="leave inference out")
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else FULL
    started = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    results = {"date": now(), "quick": options.quick, "machine": machine(), "versions": versions()}
    print_machine(results)
    with tempfile.TemporaryDirectory() as directory:
        pictures = pathlib.Path(directory) / "pictures.npz"
        results["training"] = measure_training(
            [name for name in options.only if name in WORKLOADS],
            pictures,
            settings,
            results["machine"]["sgemm_gflops"],
        )
        passed, results["verdict"] = verdict(results["training"]["networks"])
        if results["training"]["networks"]:
            print_training(results["training"], 1 - TOLERANCE)
        if NEIGHBOURS in options.only:
            print("nearest neighbours", flush=True)
            found = bench_neighbours.measure(settings["rounds"], settings["examples"], OUTPUT)
            results["neighbours"] = found
            bench_neighbours.print_result(found)
            passed = passed and bench_neighbours.verdict(found)[0]
        if BOXES in options.only:
            print("boxes", flush=True)
            results["boxes"] = bench_detection.measure(
                settings["rounds"], settings["block_seconds"], OUTPUT
            )
            bench_detection.print_result(results["boxes"])
        if TASKS in options.only:
            print("tasks", flush=True)
            results["tasks"] = bench_tasks.measure(
                settings["rounds"], settings["steps"] or bench_tasks.STEPS, OUTPUT
            )
            bench_tasks.print_result(results["tasks"])
        if not options.skip_inference:
            results["inference"] = measure_inference(artifact_directory(), pictures, settings)
            print_inference(results["inference"])
    results["seconds"] = round(time.monotonic() - started)
    path = OUTPUT / "results.json"
    path.write_text(json.dumps(rounded(results), indent=1) + "\n")
    print(f"{path.relative_to(ROOT)} written after {results['seconds']} s")
    print(results["verdict"])
    return 0 if passed else 1


def names(text: str) -> list[str]:
    """Returns the names of what to measure, which are separated by commas."""
    found = text.split(",")
    for name in found:
        known = [*WORKLOADS, NEIGHBOURS, BOXES, TASKS]
        if name not in known:
            raise argparse.ArgumentTypeError(f"got {name!r}, expected some of {known}")
    return found


def now() -> str:
    """Returns the date and time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def measure_training(
    chosen: list[str], pictures: pathlib.Path, settings: dict, sgemm_gflops: float
) -> dict:
    """Returns the speeds of every variant of every network in every round.

    Args:
        chosen: names of workloads.
        pictures: file to write the shared training pictures to.
        settings: `FULL` or `QUICK`.
        sgemm_gflops: what the machine does in large matrix products.
    """
    python = torch_python() if chosen else None
    command = [sys.executable, TOOLS / "bench_training.py", "pictures", pictures]
    with Worker("pictures", command, OUTPUT) as writer:
        source = writer.facts["source"]
    networks = {}
    for name in chosen:
        workload = WORKLOADS[name]
        print(f"training of {name}: {workload.what}, batch {workload.batch_size}", flush=True)
        networks[name] = measure_network(name, pictures, settings, python) | {
            "unit": workload.unit,
            "data": source if workload.augmented else "random numbers",
        }
        add_gflops(networks[name], workload, sgemm_gflops)
    return {"networks": networks}


def measure_network(
    name: str, pictures: pathlib.Path, settings: dict, torch: pathlib.Path | None
) -> dict:
    """Returns the speeds of every variant of one network.

    Args:
        name: of the workload.
        pictures: file of the shared training pictures.
        settings: `FULL` or `QUICK`.
        torch: the Python of PyTorch's environment.
    """
    workload = WORKLOADS[name]
    variants = [v for v in TRAINING if workload.convolutional or v != "torch channels_last"]
    commands, failed, workers = {}, {}, {}
    for variant in variants:
        library, _, kind = variant.partition(" ")
        if library != "torch":
            script = TOOLS / "bench_training.py"
            commands[variant] = [sys.executable, script, name, variant, pictures]
        elif torch is not None:
            commands[variant] = [torch, TOOLS / "bench_torch.py", name, kind, pictures]
        else:
            failed[variant] = "no environment"
    with contextlib.ExitStack() as stack:
        for variant, command in commands.items():
            print(f"  starting {TRAINING[variant]}", flush=True)
            try:
                worker = Worker(f"{name} {variant}", command, OUTPUT)
                workers[variant] = stack.enter_context(worker)
            except WorkerError as error:
                if variant in ("ours", "plain"):
                    raise
                failed[variant] = str(error)
                print(f"  there will be no figure of it: {error}", flush=True)
        check_same(workers)
        request = {"steps": settings["steps"] or workload.steps}
        blocks = alternate(workers, settings["rounds"], request)
    return summarize(workload, workers, blocks) | {"failed": failed}


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


def summarize(workload: Workload, workers: dict, blocks: dict) -> dict:
    """Returns medians over the rounds, and the median ratio of ours to each other variant."""
    speeds = {
        name: [block["steps"] * workload.units / block["seconds"] for block in measured]
        for name, measured in blocks.items()
    }
    variants = {}
    for name, values in speeds.items():
        ratios = [ours / other for ours, other in zip(speeds["ours"], values, strict=True)]
        cores = [block["cpu_seconds"] / block["seconds"] for block in blocks[name]]
        variants[name] = {
            "what": TRAINING[name],
            "per_second": statistics.median(values),
            "rounds": values,
            "cores_busy": statistics.median(cores),
            "ours_to_this": statistics.median(ratios),
            "facts": workers[name].facts,
        }
    return {"what": workload.what, "batch_size": workload.batch_size, "variants": variants}


def add_gflops(network: dict, workload: Workload, sgemm_gflops: float) -> None:
    """Adds what each variant achieves: three times the network's way forward in each step."""
    macs = network["variants"]["plain"]["facts"]["macs"]
    gigaflops = 3 * 2 * macs * workload.batch_size / 1e9
    for entry in network["variants"].values():
        entry["gflops"] = gigaflops * entry["per_second"] / workload.units
        entry["of_sgemm"] = entry["gflops"] / sgemm_gflops


def verdict(networks: dict) -> tuple[bool, str]:
    """Tells whether our training is as fast as the plain fit, and says it in a sentence."""
    if not networks:
        return True, "no network was trained"
    ratios = {
        name: network["variants"]["plain"]["ours_to_this"] for name, network in networks.items()
    }
    slower = [name for name, ratio in ratios.items() if ratio < 1 - TOLERANCE]
    worst = min(ratios, key=ratios.get)
    return not slower, (
        f"{'FAILED' if slower else 'PASSED'}: our training does at least {ratios[worst]:.3f} times "
        f"({worst}) as much per second as the plain fit, expected {1 - TOLERANCE:.2f}"
        + (f"; too slow: {', '.join(slower)}" if slower else "")
    )


def artifact_directory() -> pathlib.Path | None:
    """Returns the shipped artifact, else any other there is, else the quickstart's, else None."""
    models = [ROOT / "savedmodels" / "cifar10_airbench"]
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
