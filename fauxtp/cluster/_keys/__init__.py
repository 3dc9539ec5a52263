"""Keys: how names, groups and shards are written down at the server."""
