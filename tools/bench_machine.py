"""What the figures of `tools/bench.py` depend on: machine, versions, PyTorch's environment.

bench_machine.py            prints the GFLOP/s of NumPy's sgemm, the most a network could get
"""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
TORCH_VENV = ROOT / ".venv-bench"
TORCH = "2.13.0"
PACKAGES = ("tensorflow", "keras", "onnxruntime", "ai-edge-litert", "uvicorn", "numpy")

SGEMM_SIDE = 2048
SGEMM_CALLS = 10
# Settings that keep NumPy, and nothing else here, from the processor's best instructions.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def machine() -> dict:
    """Returns processor, cores, system, what else is running, and the GFLOP/s of sgemm."""
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
        "sgemm_gflops": sgemm_gflops(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of the packages measured."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def sgemm_gflops() -> float:
    """Returns the GFLOP/s of NumPy's product of large matrices, from a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    done = subprocess.run(
        [sys.executable, __file__], stdout=subprocess.PIPE, env=environment, check=True
    )
    return float(done.stdout)


def best_product() -> float:
    """Returns the GFLOP/s of the fastest of some products of float32 matrices."""
    a, b = np.random.default_rng(0).random((2, SGEMM_SIDE, SGEMM_SIDE), np.float32)
    seconds = []
    for _ in range(SGEMM_CALLS):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * SGEMM_SIDE**3 / min(seconds) / 1e9


def torch_python() -> pathlib.Path | None:
    """Returns the Python of PyTorch's own environment, made here once; None where that fails."""
    if python := torch_python_made():
        return python
    python = TORCH_VENV / "bin" / "python"
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


def torch_python_made() -> pathlib.Path | None:
    """Returns the Python of PyTorch's own environment if it is there."""
    python = TORCH_VENV / "bin" / "python"
    probe = f"import numpy, torch; raise SystemExit(torch.__version__.split('+')[0] != '{TORCH}')"
    if not python.exists():
        return None
    done = subprocess.run([python, "-c", probe], capture_output=True)
    return python if done.returncode == 0 else None


if __name__ == "__main__":
    print(best_product())
