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
ROUNDS = 4
BLOCK_STEPS = 5
BLOCK_SECONDS = (0.1, 0.6)  # at least, and after which fewer steps will do
TRIAL_SECONDS = 60.0  # to wait for an answer, tracing and compiling included
CALL_SECONDS = 0.025  # of one call of the graph: steps shorter than that are taken together
MAX_STEPS_PER_CALL = 32
MARGIN = 1.03  # by which another variant must beat the default one: the noise of a trial

# XLA runs convolutions on a CPU by slow kernels: it lost by a factor of 1.5 to 11 wherever there
# were any, and takes long to compile.
CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "DepthwiseConv2D")


class TrialError(Exception):
    """A variant could not be tried."""


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
        variant = Variant(**found["variant"])
        reason = f"{_sentence(found['milliseconds'], variant)}; remembered in {path}"
        return Choice(variant, found["milliseconds"], reason)
    except (KeyError, TypeError, ValueError, AttributeError):  # none yet, or a broken one
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
    try:
        seconds = _race(build)
    except TrialError as error:
        return Choice(DEFAULT, {}, f"the trial failed: {error}")
    fastest = min(seconds, key=lambda each: seconds[each] * (1 if each == DEFAULT else MARGIN))
    together = min(MAX_STEPS_PER_CALL, math.ceil(CALL_SECONDS / seconds[fastest]))
    milliseconds = {
        str(variant): round(1000 * each, 2) for variant, each in seconds.items() if each < math.inf
    }
    variant = dataclasses.replace(fastest, steps_per_call=together)
    return Choice(variant, milliseconds, _sentence(milliseconds, variant))


def _race(build: Callable) -> dict[Variant, float]:
    """Returns the seconds of a step of each variant, infinite where it failed.

    Short blocks of all of them alternate, so that what else the machine does slows all down, and
    the fastest block counts.

    Raises:
        TrialError: the default variant failed.
        InputError: `build` raised it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "dlcv_tf.train.steps"])
    with _silence():  # which the server's children inherit
        forkserver.ensure_running()
    with contextlib.ExitStack() as stack:

        def start(variant):
            trial = _Trial(context, build, variant)
            stack.callback(trial.close)
            return trial

        first = start(DEFAULT)
        layers = first.answer()  # before the others take its cores
        others = {each: start(each) for each in candidates(set(layers), os.cpu_count())}
        running = {DEFAULT: first}
        seconds = dict.fromkeys([DEFAULT, *others], math.inf)
        for variant, trial in others.items():
            with contextlib.suppress(TrialError):
                trial.answer()
                running[variant] = trial
        for _ in range(ROUNDS):
            for variant, trial in list(running.items()):
                try:
                    seconds[variant] = min(seconds[variant], trial.block())
                except TrialError:
                    del running[variant]
    if seconds[DEFAULT] == math.inf:
        raise TrialError("its process ended")
    return seconds


def _sentence(milliseconds: dict[str, float], chosen: Variant) -> str:
    """Says how long a step of the chosen variant takes, and of the others, the fastest first."""
    names = sorted(milliseconds.keys() - {str(chosen)}, key=milliseconds.get)
    others = [f"{milliseconds[name]:.4g} ms for {name}" for name in names]
    own = f"{milliseconds[str(chosen)]:.4g} ms a step"
    return "; ".join([own, *(others or ["nothing else tried"])])


class _Trial:
    """A process that carries out steps of one variant when it is asked to.

    Args:
        context: of multiprocessing.
        build: as for `choose`.
        variant: how.
    """

    def __init__(self, context, build: Callable, variant: Variant):
        self._channel, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(build, variant, other), daemon=True)
        self._process.start()
        other.close()

    def answer(self):
        """Returns the process's next answer.

        Raises:
            TrialError: it failed, ended, or took too long.
            InputError: `build` raised it.
        """
        try:
            if not self._channel.poll(TRIAL_SECONDS):
                raise TrialError(f"no answer in {TRIAL_SECONDS:.0f} s")
            kind, value = self._channel.recv()
        except (EOFError, ConnectionError):
            raise TrialError("its process ended") from None
        if kind is not None:
            raise kind(value)
        return value

    def block(self) -> float:
        """Returns the seconds of a step, the median of a few."""
        with contextlib.suppress(OSError):  # the missing answer says so
            self._channel.send(BLOCK_STEPS)
        return self.answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()


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


def _serve(build: Callable, variant: Variant, channel) -> None:
    """Times blocks of steps on request, in a process of its own.

    Every answer is (class of an error or None, its message or the value): the layers when it is
    ready, then the seconds of a step.
    """
    try:
        variant.use_threads()
        model, batch = build()
        step = _stepper(model, batch, variant)
        for _ in range(WARM_UP_STEPS):
            step()
        channel.send((None, sorted({type(layer).__name__ for layer in model._flatten_layers()})))
        while count := channel.recv():
            times = []
            least, most = (time.monotonic() + seconds for seconds in BLOCK_SECONDS)
            while time.monotonic() < (least if len(times) >= count else most) or not times:
                started = time.perf_counter()
                step()
                times.append(time.perf_counter() - started)
            channel.send((None, sorted(times)[len(times) // 2]))
    except InputError as error:
        channel.send((InputError, str(error)))
    except Exception as error:  # whatever a network or a compiler does: it is not chosen
        channel.send((TrialError, f"{type(error).__name__}: {error}"[:300]))


def _stepper(model, batch: tuple, variant: Variant) -> Callable[[], None]:
    """Returns a function that takes one training step and waits for its end."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    steps.make_variables(model, dataset.element_spec)
    take_steps = steps.compiled(model, dataset.element_spec, variant)
    iterator, one = iter(dataset), tf.constant(1)
    return lambda: int(take_steps(iterator, one)[1])


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
