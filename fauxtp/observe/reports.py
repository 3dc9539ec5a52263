"""Reports: what is logged of processes, and how much of it; and who logs what is logged.

What fauxtp logs goes through `logging`, by these loggers, with facts for programs in
`record.fauxtp`:

- "fauxtp": crashes, and what is lost;
- "fauxtp.supervisor": children that were restarted, or given up;
- "fauxtp.progress": children that were started, at the level DEBUG.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from logging import Filter, LogRecord
from typing import Any, Final, final

from fauxtp import registry
from fauxtp._base.arguments import unexpected
from fauxtp._base.redaction import SECRETS, plain_word
from fauxtp._core.running_process import current_process
from fauxtp._core.shown_contents import LIMIT
from fauxtp._core.shown_contents import contents as _contents

__all__ = ["ProcessFilter", "add_process", "configure"]

MOST: Final = 8 * 1024  # characters


def configure(*, contents: bool = False, limit: int = LIMIT, redact: Iterable[str] = ()) -> None:
    """Say what reports show of messages and states: as here by default, nothing but labels.

    With `contents`, the report of a crash has the message that was handled and the state, each in
    at most `limit` characters (1 to 8,192), three containers deep, with 50 items of each and 200
    characters of a text. A class may say by `format_state` what of its state may be shown, or
    that nothing may be, by None.

    What stands at a key, or in a field, that is called password, passwd, secret, token, cookie,
    authorization, api key or credential, or like one of the words in `redact`, is not shown, here
    and to who looks in; nor is the rest of a tuple or list that begins with such a word. Words are
    found within others, whatever their case, `_` and `-`. A secret that stands at no such key is
    not known as one.

    Each call says all of it anew.

    Raises `TypeError` if an argument is of a wrong type, and `ValueError` if `limit` is out of
    range, or a word is empty.

    >>> configure(contents=True, redact=["iban"])
    >>> configure()
    """
    if type(contents) is not bool:
        raise unexpected("contents", "a bool", contents)
    if type(limit) is not int:
        raise unexpected("limit", "an int", limit)
    if not 1 <= limit <= MOST:
        raise ValueError(f"expected limit to be from 1 to {MOST}, got {limit}")
    words = _words(redact)
    _contents.are_shown, _contents.limit = contents, limit
    _contents.secrets = (*SECRETS, *words)


def _words(redact: Iterable[str]) -> tuple[str, ...]:
    if isinstance(redact, str) or not isinstance(redact, Iterable):
        raise unexpected("redact", "an iterable of words", redact)
    words = []
    for word in redact:
        if not isinstance(word, str):
            raise unexpected("each of redact", "a str", word)
        words.append(plain_word(word))
        if not words[-1]:
            raise ValueError(f"expected each of redact to have a letter, got {word!r}")
    return tuple(words)


def _running() -> dict[str, str | None]:
    """Return by whom something is logged just now; None where it is no process."""
    process = current_process()
    if process is None:
        return {"fauxtp_pid": None, "fauxtp_name": None, "fauxtp_class": None}
    names = registry.default.names(process.pid)
    return {
        "fauxtp_pid": repr(process.pid),
        "fauxtp_name": names[0] if names else None,
        "fauxtp_class": process.kind.__name__,
    }


@final
class ProcessFilter(Filter):
    """A filter for `logging` that lets each record know which process has logged it.

    A record gets `fauxtp_pid`, `fauxtp_name` and `fauxtp_class`; None outside of processes. Added
    to a handler, it sees what comes from each logger.

    >>> import io, logging
    >>> import anyio
    >>> from fauxtp import GenServer, call, exit
    >>> class Store(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         logging.getLogger("shop").warning("%s is sold out", request)
    ...         return None, state
    >>> text = io.StringIO()
    >>> handler = logging.StreamHandler(text)
    >>> handler.setFormatter(logging.Formatter("%(fauxtp_class)s %(fauxtp_name)s: %(message)s"))
    >>> handler.addFilter(ProcessFilter())
    >>> logging.getLogger("shop").addHandler(handler)
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Store.start(task_group=task_group, register_as="store")
    ...         await call("store", "tea")
    ...         exit("store")
    >>> anyio.run(main)
    >>> print(text.getvalue(), end="")
    Store store: tea is sold out
    >>> logging.getLogger("shop").removeHandler(handler)
    """

    def filter(self, record: LogRecord) -> bool:
        vars(record).update(_running())
        return True


def add_process(
    logger: object, name: str, event: MutableMapping[str, Any], /
) -> MutableMapping[str, Any]:
    """Let structlog know which process has logged an event: a processor.

    Within a process, `event` gets `fauxtp_pid`, `fauxtp_name` and `fauxtp_class`. Return it;
    `logger` and `name` are what structlog gives each processor. It raises nothing.

    >>> add_process(None, "info", {"event": "nobody's"})
    {'event': "nobody's"}
    """
    running = _running()
    if running["fauxtp_pid"] is not None:
        event.update(running)
    return event
