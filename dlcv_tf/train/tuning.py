"""The fastest way to carry out a training step of this network on this machine, by a short trial.

Which variant wins depends on the sizes of the layers, on the processor and on TensorFlow's kernels
for it, and no rule of thumb held on all machines measured (`docs/performance.md`). Thread counts
are fixed from a process's first operation on, so each variant is tried in a process of its own; a
server process that has imported TensorFlow already forks them. The choice is remembered.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import multiprocessing
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver

from dlcv_tf.errors import InputError
from dlcv_tf.train import steps
from dlcv_tf.train.steps import DEFAULT, Variant

WARM_UP_STEPS = 3
MEASURED_STEPS = 10
MEASURED_SECONDS = 1.5  # after which fewer steps will do
TRIAL_SECONDS = 60.0  # for a whole trial, tracing and compiling included
CALL_SECONDS = 0.025  # of one call of the graph: steps shorter than that are taken together
MAX_STEPS_PER_CALL = 32
MARGIN = 1.03  # by which another variant must beat the default one: the noise of a trial

# XLA runs convolutions on a CPU by slow kernels: it lost by a factor of 1.5 to 11 wherever there
# were any, and takes long to compile.
CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "DepthwiseConv2D")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A variant, and why it was chosen.

    Args:
        variant: the fastest one.
        milliseconds: of a step of each variant tried, by its description.
        reason: in words.
    """

    variant: Variant
    milliseconds: dict[str, float]
    reason: str


def choose(
    build: Callable,
    subject: dict,
    *,
    cache: str | pathlib.Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Returns the fastest variant for a network on this machine.

    Args:
        build: picklable function without arguments that returns a compiled model and a batch, a
            tuple of arrays, as training will have them. It is called in the processes of the trial.
        subject: what the choice depends on besides the machine, as JSON can hold it.
        cache: file that remembers choices; by default in the user's cache directory.
        say: called with a line for the user where a trial begins.

    Returns:
        The choice; the default variant where there is a GPU, or where the trial failed.

    Raises:
        InputError: `build` raised it.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return Choice(DEFAULT, {}, "there is a GPU: TensorFlow's defaults")
    path = pathlib.Path(cache) if cache else default_cache()
    key = json.dumps({"subject": subject, "machine": _machine()}, sort_keys=True)
    known = _read(path)
    try:
        found = known[key]
        reason = f"{_sentence(found['milliseconds'])}; remembered in {path}"
        return Choice(Variant(**found["variant"]), found["milliseconds"], reason)
    except (KeyError, TypeError, ValueError):  # none yet, or a broken one
        pass
    say("finding the fastest way to carry out a training step here: some seconds, once")
    choice = _try_all(build)
    if choice.milliseconds:
        entry = {"variant": dataclasses.asdict(choice.variant), "milliseconds": choice.milliseconds}
        _write(path, known | {key: entry})
    return choice


def candidates(layers: set[str], cores: int) -> list[Variant]:
    """Returns the variants worth a trial besides the default one.

    Args:
        layers: class names of the network's layers.
        cores: of the machine.
    """
    if cores < 2:
        return [] if layers & set(CONVOLUTIONS) else [Variant(xla=True)]
    split = Variant(parts=cores, threads=1)
    if layers & set(CONVOLUTIONS):
        return [split]
    return [Variant(threads=1), split, Variant(xla=True)]


def default_cache() -> pathlib.Path:
    """Returns the file that remembers choices, in the user's cache directory."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "dlcv_tf" / "tuning.json"


def _try_all(build: Callable) -> Choice:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "dlcv_tf.train.steps"])
    with _silence():  # which the server's children inherit
        forkserver.ensure_running()
    first = _try(context, build, DEFAULT)
    if "refused" in first:
        raise InputError(first["refused"])
    if "seconds" not in first:
        return Choice(DEFAULT, {}, f"the trial failed: {first['error']}")
    seconds = {DEFAULT: first["seconds"]}
    for variant in candidates(set(first["layers"]), os.cpu_count()):
        seconds[variant] = _try(context, build, variant).get("seconds", math.inf)
    fastest = min(seconds, key=lambda each: seconds[each] * (1 if each == DEFAULT else MARGIN))
    together = min(MAX_STEPS_PER_CALL, math.ceil(CALL_SECONDS / seconds[fastest]))
    milliseconds = {
        str(variant): round(1000 * each, 2) for variant, each in seconds.items() if each < math.inf
    }
    variant = dataclasses.replace(fastest, steps_per_call=together)
    return Choice(variant, milliseconds, _sentence(milliseconds))


def _sentence(milliseconds: dict[str, float]) -> str:
    order = sorted(milliseconds, key=milliseconds.get)
    first, *others = [f"{milliseconds[name]:.4g} ms" for name in order]
    slower = [f"{time} for {name}" for time, name in zip(others, order[1:], strict=True)]
    return f"{first} a step; " + "; ".join(slower or ["nothing else tried"])


def _try(context, build: Callable, variant: Variant) -> dict:
    """Returns what `_trial` measured in a new process, or why it did not."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_trial, args=(build, variant, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(TRIAL_SECONDS):
            return {"error": f"no answer in {TRIAL_SECONDS:.0f} s"}
        return receiver.recv()
    except EOFError:
        return {"error": "its process ended"}
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Turns away all that this process prints, also from C++."""
    with open(os.devnull, "wb") as nowhere:
        kept = {output: os.dup(output) for output in (1, 2)}
        for output in kept:
            os.dup2(nowhere.fileno(), output)
        try:
            yield
        finally:
            for output, original in kept.items():
                os.dup2(original, output)
                os.close(original)


def _trial(build: Callable, variant: Variant, sender) -> None:
    """Times steps of one variant, in a process of its own, and sends the result."""
    try:
        variant.use_threads()
        model, batch = build()
        result = {"seconds": seconds_per_step(model, batch, variant), "layers": _layers(model)}
    except InputError as error:
        result = {"refused": str(error)}
    except Exception as error:  # whatever a network or a compiler does: it is not chosen
        result = {"error": f"{type(error).__name__}: {error}"[:300]}
    sender.send(result)


def seconds_per_step(model, batch: tuple, variant: Variant) -> float:
    """Returns the seconds that a training step takes, the median of some, after a warm-up.

    Args:
        model: compiled model.
        batch: arrays of one batch.
        variant: how; its threads must be set.
    """
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    steps.make_variables(model, dataset.element_spec)
    take_steps = steps.compiled(model, dataset.element_spec, variant)
    iterator, one = iter(dataset), tf.constant(1)
    times = []
    started = time.monotonic()
    while len(times) < WARM_UP_STEPS + MEASURED_STEPS:
        before = time.perf_counter()
        int(take_steps(iterator, one)[1])
        times.append(time.perf_counter() - before)
        if len(times) == WARM_UP_STEPS:
            started = time.monotonic()
        if len(times) > WARM_UP_STEPS and time.monotonic() - started > MEASURED_SECONDS:
            break
    times = sorted(times[WARM_UP_STEPS:])
    return times[len(times) // 2]


def _layers(model) -> list[str]:
    return sorted({type(layer).__name__ for layer in model._flatten_layers()})


def _machine() -> dict:
    """Returns what a choice depends on besides the network."""
    processor = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():  # Linux; the family and model tell machines of one name apart
        wanted = ("model name", "cpu family", "model\t", "stepping")
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
        processor = " ".join(
            line.partition(":")[2].strip() for line in lines if line.startswith(wanted)
        )
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")}
    return {"processor": processor, "cores": os.cpu_count()} | versions


def _read(path: pathlib.Path) -> dict:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or a broken one: the trial is done again
        known = {}
    return known if isinstance(known, dict) else {}


def _write(path: pathlib.Path, choices: dict) -> None:
    """Remembers choices; where that is not possible, the trial is done again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(choices, indent=1))
        unfinished.replace(path)
    except OSError:
        return


def read_choice(path: str | pathlib.Path) -> Choice:
    """Reads what `write_choice` wrote.

    Raises:
        InputError: the file is broken.
    """
    try:
        values = json.loads(pathlib.Path(path).read_text())
        return Choice(**values | {"variant": Variant(**values["variant"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is not a choice of a variant ({error}): remove it to train with the default"
        ) from error


def write_choice(choice: Choice, path: str | pathlib.Path) -> None:
    """Writes a choice to a file of its own, as a run keeps it."""
    pathlib.Path(path).write_text(json.dumps(dataclasses.asdict(choice), indent=1))
