"""One live line a run: in place on a terminal, one line a change elsewhere."""

import shutil
import time
from typing import Any, TextIO

FINISHED = ("done", "failed", "not run", "interrupted")


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them.

    >>> duration(68.2), duration(754), duration(7300), duration(None)
    ('68 s', '12 min 34 s', '2 h 1 min', 'an unknown time')
    """
    if seconds is None:
        return "an unknown time"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Progress:
    """Prints the states of runs as they change.

    Args:
        expected: seconds that each run should take, ``None`` where nobody knows.
        stream: where to print.
    """

    def __init__(self, expected: dict[str, float | None], stream: TextIO):
        self.expected, self.stream = expected, stream
        self.live = stream.isatty()
        self.width = max(map(len, expected), default=0)
        self._shown: dict[str, str] = {}
        self._live_lines = 0

    def show(self, states: dict[str, dict[str, Any]]) -> None:
        """Print what has changed since the last call."""
        self._erase()
        for run_id, state in states.items():
            name = state["state"]
            if self._shown.get(run_id) != name and (name in FINISHED or (name == "running" and not self.live)):
                print(self.line(run_id, state), file=self.stream)
            self._shown[run_id] = name
        if self.live:
            self._draw(states)
        self.stream.flush()

    def line(self, run_id: str, state: dict[str, Any]) -> str:
        """One run: state, id, seconds and expected seconds, or the reason."""
        name = state["state"]
        took = duration(state["seconds"]) if "seconds" in state else ""
        if name == "running":
            took = f"{duration(time.time() - state['at'])} of about {duration(self.expected[run_id])}"
        elif name == "done" and self.expected[run_id]:
            took += f" (expected {duration(self.expected[run_id])})"
        words = [part for part in (took, state.get("error", "")) if part]
        return f"{name:<12}{run_id:<{self.width}}  {'  '.join(words)}".rstrip()

    def _draw(self, states: dict[str, dict[str, Any]]) -> None:
        columns = shutil.get_terminal_size().columns
        lines = [self.line(run_id, state) for run_id, state in states.items() if state["state"] == "running"]
        if waiting := sum(state["state"] == "waiting" for state in states.values()):
            lines.append(f"{'waiting':<12}{waiting} more")
        for line in lines:
            print(line[: columns - 1], file=self.stream)
        self._live_lines = len(lines)

    def _erase(self) -> None:
        if self._live_lines:
            self.stream.write(f"\x1b[{self._live_lines}F\x1b[J")
            self._live_lines = 0
