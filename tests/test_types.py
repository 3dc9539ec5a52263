"""What users define in their classes: type checkers let them call its parameters as they like."""

from __future__ import annotations

import inspect

import pytest

from fauxtp import Actor, GenServer, Task

HOOKS = (
    "init",
    "run",
    "terminate",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "handle_task_end",
)


@pytest.mark.parametrize("kind", [Actor, GenServer, Task])
def test_parameters_of_what_users_define_have_no_names(kind: type[Actor]) -> None:
    for hook in HOOKS:
        method = getattr(kind, hook, None)
        if method is None:
            continue
        _, *parameters = inspect.signature(method).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        assert kinds <= {inspect.Parameter.POSITIONAL_ONLY}, f"{kind.__name__}.{hook}"
