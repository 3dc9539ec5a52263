"""Who asks an agent: of which user they are, and what they may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from fauxtp._base.arguments import unexpected

__all__ = ["LOOK", "RIGHTS", "Asker", "expect_rights"]

RIGHTS: Final = ("look", "state", "exit")
LOOK: Final = frozenset({"look"})


@final
class Asker:
    """A client of an agent. Of a user that nobody can tell, `user` is None."""

    __slots__ = ("rights", "user")

    def __init__(self, rights: frozenset[str] = LOOK, user: int | None = None) -> None:
        self.rights: frozenset[str] = rights
        self.user: int | None = user

    def __str__(self) -> str:
        return "somebody" if self.user is None else f"user {self.user}"


def expect_rights(allow: Iterable[str]) -> frozenset[str]:
    """Return what others may, who may always look; or raise what is wrong with it."""
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise unexpected("allow", f"a set of {', '.join(RIGHTS)}", allow)
    rights = []
    for right in allow:
        if not isinstance(right, str):
            raise unexpected("each of allow", "a str", right)
        if right not in RIGHTS:
            raise ValueError(
                f"expected each of allow to be one of {', '.join(RIGHTS)}, got {right!r}"
            )
        rights.append(right)
    return LOOK.union(rights)
