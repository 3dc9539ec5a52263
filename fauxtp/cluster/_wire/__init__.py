"""The wire: what travels between nodes, as bytes."""
