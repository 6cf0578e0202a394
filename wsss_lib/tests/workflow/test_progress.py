"""Live lines: one line a change without a terminal, in place on one."""

import io
import time

from wsss_lib.workflow.progress import Progress

EXPECTED = {"10_cam/demo": 70.0, "16_affinity/demo": None}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def running(seconds):
    return {"state": "running", "at": time.time() - seconds}


def show_all(stream):
    progress = Progress(EXPECTED, stream)
    waiting = {"state": "waiting"}
    for cam, affinity in [
        (waiting, waiting),
        (running(3), waiting),
        (running(4), waiting),
        ({"state": "done", "seconds": 68.0}, running(0)),
        ({"state": "done", "seconds": 68.0}, {"state": "failed", "seconds": 2.0, "error": "ValueError: no maps"}),
    ]:
        progress.show({"10_cam/demo": cam, "16_affinity/demo": affinity})
    return stream.getvalue()


def test_without_a_terminal_every_change_is_a_line():
    assert show_all(io.StringIO()).splitlines() == [
        "running     10_cam/demo       3 s of about 70 s",
        "done        10_cam/demo       68 s (expected 70 s)",
        "running     16_affinity/demo  0 s of about an unknown time",
        "failed      16_affinity/demo  2 s  ValueError: no maps",
    ]


def test_on_a_terminal_lines_are_drawn_over():
    lines = screen(show_all(Terminal()))
    assert lines == [
        "done        10_cam/demo       68 s (expected 70 s)",
        "failed      16_affinity/demo  2 s  ValueError: no maps",
    ]


def screen(printed: str) -> list[str]:
    """What a terminal shows that knows two codes: n lines up, and erase to the end."""
    lines = [""]
    while printed:
        if printed.startswith("\x1b["):
            code, printed = printed[2:].split("F\x1b[J", 1)
            lines = [*lines[: -1 - int(code)], ""]
            continue
        char, printed = printed[0], printed[1:]
        if char == "\n":
            lines.append("")
        else:
            lines[-1] += char
    return [line for line in lines if line]
