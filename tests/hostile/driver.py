"""What a checker of memory watches: the compiled registry, used hard, in one short program.

`python -m hostile.driver SEED ROUNDS`, under valgrind or built with sanitizers. Allocations fail
in tables of a fifth of the sizes, by the seed; in torture in all, as they do without a checker.
"""

from __future__ import annotations

import sys

from fauxtp import _registry
from hostile import effort
from hostile.operations import OPERATIONS, Place
from hostile.recorder import contend, switching
from hostile.reentrance import let_in

try:
    from hostile.nomemory import SIZES, try_all
except ImportError:  # an interpreter without its test modules
    try_all = None  # type: ignore[assignment]

WAYS = ["collections", "weak references", "comparisons", "finalisers"]


def main(seed: str, rounds: str) -> None:
    for size in (1, 10, 100):
        for operation in OPERATIONS.values():
            operation(Place(_registry, size))
    with switching(1e-6):
        contend(_registry, 4, 50, [f"{seed} {number}" for number in range(int(rounds))])
    for way in WAYS:
        let_in(_registry, way, seed, 50 * int(rounds))
    if try_all is not None:
        try_all(_registry, strict=True, sizes=effort.one_in(5, SIZES))
    print("done")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
