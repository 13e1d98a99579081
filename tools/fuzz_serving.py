"""Malformed requests against the server: whatever comes, it answers, and goes on answering.

    python tools/fuzz_serving.py                           an hour, all targets
    python tools/fuzz_serving.py --seconds 60 --target pictures
    python tools/fuzz_serving.py --engine hypothesis       without atheris
    python tools/fuzz_serving.py --replay report.json      only what was found before

Every target is a way in for bytes from a client. Atheris, guided by the branches they reach in
dlcv_tf and Pillow, first mutates good requests as bytes; then it chooses for Hypothesis what to
change within them. Every answer must be a good one or a client error in the protocol's form; none
may take long, or leave anything in the log of errors; and good requests must be answered as before.

Needs `pip install atheris` beside the development extra.
"""

import argparse
import base64
import importlib.util
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

TOOLS = pathlib.Path(__file__).resolve().parent
INSTRUMENTED = ["dlcv_tf", "PIL"]
HANG = 60  # seconds that a request may be under way
MOST_BYTES = 4096  # of a mutated request
MOST_MEGABYTES = 2048
EXAMPLES = 100  # in one run of Hypothesis


def main() -> None:
    """Runs every target for its share of the time; prints a table of what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="of all targets together")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"), default="atheris")
    parser.add_argument("--corpus", metavar="DIR", help="keeps what reached something new")
    parser.add_argument("-o", "--output", metavar="FILE", help="report as JSON")
    parser.add_argument("--replay", metavar="FILE", help="a report, whose finds are sent again")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)  # mode, report
    options = parser.parse_args()
    sys.path.insert(0, str(TOOLS.parent))
    if options.inside:
        run_inside(options)
        return
    if options.replay:
        sys.exit(replay(json.loads(pathlib.Path(options.replay).read_text())))
    if options.engine == "atheris" and importlib.util.find_spec("atheris") is None:
        sys.exit(
            "atheris is not installed: `python -m pip install atheris` in this environment, or "
            "--engine hypothesis, which is not guided by what it reaches"
        )
    names = options.target or target_names()
    if unknown := set(names) - set(target_names()):
        sys.exit(f"got target {', '.join(unknown)}, expected some of {', '.join(target_names())}")
    with tempfile.TemporaryDirectory() as scratch:
        rows = run_all(names, options, pathlib.Path(options.corpus or scratch))
    print(table(rows))
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(any(row["findings"] for row in rows))


def target_names() -> list[str]:
    """Returns the names of all targets."""
    import fuzz_targets

    return [*fuzz_targets.TARGETS]


def replay(rows: list[dict]) -> bool:
    """Sends again what a report holds; prints what is still found, and returns whether it is."""
    import fuzz_targets

    finds = [(row["target"], find) for row in rows for find in row["findings"] if "encoded" in find]
    with (
        tempfile.TemporaryDirectory() as directory,
        fuzz_targets.serving(pathlib.Path(directory)) as watched,
    ):
        for name, find in finds:
            data = base64.b64decode(find["encoded"])
            watched.send(fuzz_targets.TARGETS[name].kind.decode(data))
        for find in watched.findings.values():
            print(f"{find['kind']}: {find['details']}\n    {find['request']}")
    print(f"{len(finds)} sent again, {len(watched.findings)} still found")
    return bool(watched.findings)


def run_all(names: list[str], options, corpus: pathlib.Path) -> list[dict]:
    """Runs each target in processes of its own, which a crash or too much memory ends."""
    modes = ["bytes", "fields"] if options.engine == "atheris" else ["hypothesis"]
    share = options.seconds / len(names) / len(modes)
    rows = []
    for name in names:
        for mode in modes:
            folder = corpus / mode / name
            folder.mkdir(parents=True, exist_ok=True)
            row = run(name, mode, share, folder)
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def run(name: str, mode: str, seconds: float, folder: pathlib.Path) -> dict:
    """Runs one target until its time is over, starting it again where its process died."""
    row = {"target": name, "mode": mode, "requests": 0, "edges": 0, "slowest": 0.0}
    row |= {"megabytes": [0.0, 0.0, 0.0], "seconds": 0.0, "findings": []}
    while row["seconds"] < seconds - 1:
        left = seconds - row["seconds"]
        with tempfile.TemporaryDirectory() as scratch:
            report = pathlib.Path(scratch, "report.json")
            command = [sys.executable, __file__, "--inside", mode, str(report)]
            command += ["--target", name, "--seconds", f"{left:.0f}", "--corpus", str(folder)]
            start = time.monotonic()
            ended = subprocess.run(command, stderr=subprocess.PIPE, errors="replace")
            took = time.monotonic() - start
            found = json.loads(report.read_text()) if report.exists() else {}
        # A process that was stopped for a while has not run for longer than it was to.
        row["seconds"] += min(max(took, 1.0), left)
        row["requests"] += found.get("requests", 0)
        row["slowest"] = max(row["slowest"], found.get("slowest", 0))
        row["megabytes"] = max(row["megabytes"], found.get("megabytes", [0]), key=max)
        row["findings"] += found.get("findings", [])
        edges = re.findall(r"cov: (\d+)", ended.stderr)
        row["edges"] = max([row["edges"], *map(int, edges)])
        if ended.returncode:
            last = {"kind": f"the process ended with {ended.returncode}", "times": 1}
            row["findings"].append(last | {"details": ended.stderr[-3000:], "request": ""})
    return row


def table(rows: list[dict]) -> str:
    """Returns the rows as Markdown."""
    lines = ["| target | what is changed | requests | edges | finds | slowest, ms | memory, MB |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        start, end, peak = row["megabytes"]
        lines.append(
            f"| {row['target']} | {row['mode']} | {row['requests']:,} | {row['edges']:,} | "
            f"{len(row['findings'])} | {row['slowest'] * 1e3:.0f} | {start:.0f} to {end:.0f}, at "
            f"most {peak:.0f} |"
        )
    requests = sum(row["requests"] for row in rows)
    finds = sum(len(row["findings"]) for row in rows)
    peak = max(max(row["megabytes"]) for row in rows)
    lines.append(f"| all | | {requests:,} | | {finds} | | at most {peak:.0f} |")
    return "\n".join(lines)


def run_inside(options) -> None:
    """Runs one target in this process, in one way of making requests."""
    mode, report = options.inside
    if mode != "hypothesis":
        import atheris

        with atheris.instrument_imports(include=INSTRUMENTED):
            import fuzz_targets
    else:
        import fuzz_targets
    (name,) = options.target
    target = fuzz_targets.TARGETS[name]
    with tempfile.TemporaryDirectory() as directory:
        with fuzz_targets.serving(pathlib.Path(directory)) as watched:
            report = Report(watched, pathlib.Path(report))
            if mode == "hypothesis":
                by_hypothesis(target, watched, options.seconds)
                report.write()
                return
            test = from_bytes(target, watched) if mode == "bytes" else from_choices(target, watched)
            folder = pathlib.Path(options.corpus)
            for number, data in enumerate(first_inputs(target, mode)):
                (folder / f"first-{number}").write_bytes(data)
            words = pathlib.Path(directory, "words")
            words.write_text("".join(f'"{word}"\n' for word in fuzz_targets.WORDS))
            flags = [
                f"-dict={words}",
                f"-max_total_time={options.seconds:.0f}",
                f"-max_len={MOST_BYTES}",
            ]
            flags += [
                "-len_control=0",
                "-timeout=1000000",
                f"-rss_limit_mb={MOST_MEGABYTES}",
                "-print_final_stats=1",
            ]
            flags += [f"-artifact_prefix={folder}/../", str(folder)]
            atheris.Setup([sys.argv[0], *flags], test)
            atheris.Fuzz()


def first_inputs(target, mode: str) -> list[bytes]:
    """Returns what Atheris starts from: good requests, or bytes for Hypothesis to choose by."""
    if mode == "bytes":
        return [request.encode() for request in target.good()]
    return [random.Random(number).randbytes(2 ** (5 + number % 7)) for number in range(64)]


def from_bytes(target, watched):
    """Returns what sends the request that some bytes stand for."""

    def test(data: bytes) -> None:
        watched.send(target.kind.decode(data))

    return test


def from_choices(target, watched):
    """Returns what has Hypothesis make a request, choosing as some bytes say, and sends it."""
    from hypothesis import HealthCheck, given, settings

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.wrong())
    def test(request) -> None:
        watched.send(request)

    return test.hypothesis.fuzz_one_input


def by_hypothesis(target, watched, seconds: float) -> None:
    """Sends what Hypothesis makes up, by one seed after the other."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    last, number = time.monotonic() + seconds, 0
    while time.monotonic() < last:
        number += 1

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(target.wrong())
        def test(request) -> None:
            watched.send(request)

        test()


class Report:
    """Writes every second how far it has come, since Atheris ends the process itself.

    It ends the process where one request takes too long. Seconds in which the process was stopped
    do not count.

    Args:
        watched: what is written about.
        path: of the report.
    """

    def __init__(self, watched, path: pathlib.Path):
        self._watched, self._path = watched, path
        self._first = 0.0
        threading.Thread(target=self._repeat, daemon=True).start()

    def write(self) -> None:
        """Writes it now."""
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        now = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        self._first = self._first or now
        values = {
            "requests": self._watched.requests,
            "slowest": self._watched.slowest,
            "megabytes": [self._first, now, peak],
            "findings": [*self._watched.findings.values()],
        }
        scratch = self._path.with_suffix(".tmp")
        scratch.write_text(json.dumps(values))
        scratch.rename(self._path)

    def _repeat(self) -> None:
        before, looks = None, 0
        while True:
            time.sleep(1)
            request = self._watched.under_way
            looks = looks + 1 if request is not None and request is before else 0
            before = request
            if looks > HANG:
                kept = {"kind": "no answer", "details": f"in {HANG} s", "times": 1}
                self._watched.findings["hang"] = kept | {"request": repr(request)}
            self.write()
            if looks > HANG:
                os._exit(3)


if __name__ == "__main__":
    main()
