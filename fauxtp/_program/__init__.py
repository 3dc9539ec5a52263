"""A program: how an application runs, from its start to its orderly end."""
