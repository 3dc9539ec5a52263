"""Commands of `python -m fauxtp` that are more than a look at one program."""
