"""The signals that stop a server: SIGTERM, Ctrl-C, and that of a terminal that closes."""

import signal

ONE_STOP = 0.1  # seconds within which a second one is of the same stop: `timeout` sends two


def signals() -> list[signal.Signals]:
    """Returns them; without SIGHUP where it is ignored, as `nohup` has it."""
    found = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found
