from fauxtp._loops.asyncio_internals import is_in_cancelled_scope, slots_of_anyio, states

__all__ = ["is_in_cancelled_scope", "slots_of_anyio", "states"]
