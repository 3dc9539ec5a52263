"""Tests that try to break the registry and the runtime, and are known to be able to."""
