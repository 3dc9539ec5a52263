"""The terminal in which `top` shows a program live: a screen that is drawn anew, and keys."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

__all__ = ["key_within", "redraw", "screen"]

HOME, TO_END, HIDE, SHOW = "\x1b[H", "\x1b[J", "\x1b[?25l", "\x1b[?25h"
LONGEST: Final = 32  # bytes of what a key may send


@contextmanager
def screen() -> Iterator[None]:
    """Clear the screen, and hear each key at once; leave the terminal as it was found."""
    with _keys():
        try:
            sys.stdout.write(HIDE + HOME + TO_END)
            yield
        finally:
            sys.stdout.write(SHOW + "\n")
            sys.stdout.flush()


def redraw(lines: Sequence[str]) -> None:
    """Show `lines` in place of what the screen shows."""
    sys.stdout.write(HOME + "\x1b[K\n".join(lines) + "\x1b[K" + TO_END)
    sys.stdout.flush()


@contextmanager
def _keys() -> Iterator[None]:
    if not _has_keys():
        yield
        return
    import termios  # noqa: PLC0415  # not everywhere
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _has_keys() -> bool:
    return os.name == "posix" and sys.stdin.isatty()


def key_within(seconds: float) -> str:
    """Wait for keys, so many seconds at most; return what the last has sent, or nothing."""
    if not _has_keys():
        select.select([], [], [], seconds)
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), LONGEST).decode(errors="replace")[-1:] if ready else ""
