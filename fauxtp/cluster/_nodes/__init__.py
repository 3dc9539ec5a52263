"""Nodes: who is one, until when, who hears of it; and keys that one node owns."""
