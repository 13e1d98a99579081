"""ONNX Runtime without a server: one thread, one picture after the other, measured once.

onnx_alone.py MODEL PICTURE.npy SECONDS     prints one line of JSON
"""

import json
import sys
import time

import numpy as np
import onnx_session


def main() -> None:
    """Runs for some seconds and prints what it took."""
    run = onnx_session.load(sys.argv[1])
    picture, seconds = np.load(sys.argv[2]), float(sys.argv[3])
    for _ in range(100):
        run(picture)
    times, cpu, last = [], time.process_time(), time.perf_counter() + seconds
    while (start := time.perf_counter()) < last:
        run(picture)
        times.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    p50, p99 = np.percentile(times, (50, 99)) * 1e3
    result = {"cpu_ms": 1e3 * cpu / len(times), "per_second": len(times) / seconds}
    print(json.dumps(result | {"p50_ms": p50, "p99_ms": p99, "requests": len(times)}))


if __name__ == "__main__":
    main()
