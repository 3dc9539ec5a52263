# The compiled module has the types of its twin.
from fauxtp._hosting._turns_py import Idle as Idle
from fauxtp._hosting._turns_py import begun_task as begun_task
from fauxtp._hosting._turns_py import can_give_turns as can_give_turns
from fauxtp._hosting._turns_py import give_turn as give_turn
from fauxtp._hosting._turns_py import is_to_be_cancelled as is_to_be_cancelled

__all__ = ["Idle", "begun_task", "can_give_turns", "give_turn", "is_to_be_cancelled"]
