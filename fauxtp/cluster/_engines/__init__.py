"""Engines: what carries a cluster, for one node: keys that all see, and messages."""
