"""What needs no process and no event loop: texts, errors, the stack, how fauxtp is installed."""
