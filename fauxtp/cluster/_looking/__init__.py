"""Looking at a cluster, as no node of it."""
