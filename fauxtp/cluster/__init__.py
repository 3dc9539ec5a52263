"""Names and calls across machines, over NATS with JetStream: `pip install fauxtp[cluster]`."""

from fauxtp.cluster.cluster import Cluster
from fauxtp.cluster.cluster_name import ClusterName
from fauxtp.cluster.engine import NoConnection, Refused
from fauxtp.cluster.errors import NodeTaken
from fauxtp.cluster.node_events import NodeDown, NodeUp
from fauxtp.cluster.singletons import singleton
from fauxtp.cluster.wire_errors import RemoteError
from fauxtp.cluster.wire_types import cluster_type

__all__ = [
    "Cluster",
    "ClusterName",
    "NoConnection",
    "NodeDown",
    "NodeTaken",
    "NodeUp",
    "Refused",
    "RemoteError",
    "cluster_type",
    "singleton",
]
