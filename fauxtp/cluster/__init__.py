"""Names and calls across machines, over NATS with JetStream: `pip install fauxtp[cluster]`."""

from fauxtp.cluster.cluster import Cluster
from fauxtp.cluster.engine import NoConnection, Refused
from fauxtp.cluster.errors import NodeTaken
from fauxtp.cluster.node_events import NodeDown, NodeUp

__all__ = ["Cluster", "NoConnection", "NodeDown", "NodeTaken", "NodeUp", "Refused"]
