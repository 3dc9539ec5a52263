"""Shards: processes that are spread over a cluster by keys."""
