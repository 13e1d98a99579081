"""What `tools/bench_serving.py` prints: the figures, and how ours stand beside the best others."""

COLUMNS = {
    "cpu_ms": ("CPU ms", "{:.2f}"),
    "per_second": ("requests/s", "{:,.0f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
}
# What our requests are to cost at most, in milliseconds of the server's processor time, and how
# many more than the best other server's there are to be in a second.
MOST_CPU = {"gRPC": 0.85, "bytes": 0.70, "JSON": 1.3}
LEAST_RATIO = 1.2


def figures(rows: list[tuple], clients: tuple[int, ...]) -> str:
    """Returns a table in Markdown: a line for each server and way, columns for each c.

    Args:
        rows: titles of server and way, clients, figures by the names in `COLUMNS`.
        clients: numbers of them.
    """
    by_line: dict[tuple, dict] = {}
    for title, way, count, found in rows:
        by_line.setdefault((title, way), {})[count] = found
    header = [f"{title}, c={count}" for title, _ in COLUMNS.values() for count in clients]
    lines = [_line("server", "asked by", *header), _line(*["---"] * (2 + len(header)))]
    for (title, way), found in by_line.items():
        cells = [
            text.format(found[count][column]) if count in found else ""
            for column, (_, text) in COLUMNS.items()
            for count in clients
        ]
        lines.append(_line(title, way, *cells))
    return "\n".join(lines)


def verdicts(rows: list[tuple], kinds: dict[tuple, str], ours: str) -> str:
    """Returns a table in Markdown: our requests/s beside the best other's of the same kind.

    Args:
        rows: as for `figures`.
        kinds: of the titles of server and way: "gRPC", "bytes" or "JSON".
        ours: title of our server.
    """
    lines = [_line("ours", "c", "CPU ms", "at most", "requests/s", "best other", "its", "ratio")]
    lines.append(_line(*["---"] * 8))
    for title, way, count, found in rows:
        kind = kinds.get((title, way))
        if title != ours or kind is None:
            continue
        others = [
            (other["per_second"], f"{name}, {asked}")
            for name, asked, at, other in rows
            if name != ours and at == count and kinds.get((name, asked)) == kind
        ]
        cpu = f"{found['cpu_ms']:.2f}"
        if found["cpu_ms"] > MOST_CPU[kind]:
            cpu += " MISSED"
        cells = [way, str(count), cpu, f"{MOST_CPU[kind]:.2f}", f"{found['per_second']:,.0f}"]
        if others:
            best, name = max(others)
            ratio = found["per_second"] / best
            missed = " MISSED" if ratio < LEAST_RATIO else ""
            cells += [name, f"{best:,.0f}", f"{ratio:.2f}{missed}"]
        else:
            cells += ["not measured", "", ""]
        lines.append(_line(*cells))
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
