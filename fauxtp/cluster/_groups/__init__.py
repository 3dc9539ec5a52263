"""Groups of a cluster: who is in them, and what they are told."""
