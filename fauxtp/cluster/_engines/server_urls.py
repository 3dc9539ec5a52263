"""URLs of servers, as others may read them."""

from __future__ import annotations

__all__ = ["without_user"]


def without_user(url: str) -> str:
    """Return a URL without whoever it names, and the password: these are nobody's to read.

    A password may have any character, escaped or not: so all that stands before the last `@` goes,
    up to the slashes, also where the URL is none.

    >>> without_user("nats://alice:s3cret@127.0.0.1:4222")
    'nats://127.0.0.1:4222'
    >>> without_user("alice:s3/cr@t@127.0.0.1")
    '127.0.0.1'
    """
    before, at, host = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}://{host}" if slashes and scheme.isalnum() else host
