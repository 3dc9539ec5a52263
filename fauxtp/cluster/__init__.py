"""Names and calls across machines, over NATS with JetStream: `pip install fauxtp[cluster]`."""
