"""How a process lives in a task group, and how others run it on the spot."""
