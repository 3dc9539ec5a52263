"""How messages and calls find whom they are for, and how the end of a process is heard of."""
