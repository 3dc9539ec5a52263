"""A store, and threads that find it by its name.

The store announces itself in the registry as "kvstore". Writers and readers know nothing but
the name: whoever stands behind it now is the one they talk to. When the store goes, its name
goes with it, and the readers notice.
"""

from __future__ import annotations

import threading

from fauxtp import PID, register, registered, unregister, whereis


class Store:
    """Something that other parts of a program want to find: a dict behind a lock."""

    def __init__(self) -> None:
        self.pid = PID()
        self.values: dict[str, int] = {}
        self.lock = threading.Lock()

    def put(self, key: str, value: int) -> None:
        with self.lock:
            self.values[key] = value

    def count(self) -> int:
        with self.lock:
            return len(self.values)


# Until there is a process behind each PID, somebody has to know the object.
STORES: dict[PID, Store] = {}


def find_store() -> Store | None:
    pid = whereis("kvstore")
    return None if pid is None else STORES[pid]


def write(writer: int, items: int) -> None:
    for item in range(items):
        store = find_store()
        if store is not None:
            store.put(f"{writer}:{item}", item)


def main() -> None:
    store = Store()
    STORES[store.pid] = store
    print("the name was free:", register("kvstore", store.pid))
    print("it cannot be taken twice:", register("kvstore", PID()))
    print("registered:", registered())

    writers = [threading.Thread(target=write, args=(number, 250)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = find_store()
    assert found is store
    print("items from 4 writers:", found.count())

    unregister("kvstore", store.pid)
    print("after it left:", find_store())


if __name__ == "__main__":
    main()
