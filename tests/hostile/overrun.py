"""Writes past the end of a block of memory: what a checker of memory must see."""

from __future__ import annotations

import ctypes

if __name__ == "__main__":
    block = ctypes.create_string_buffer(64)
    ctypes.memset(block, 0, len(block) + 1)
