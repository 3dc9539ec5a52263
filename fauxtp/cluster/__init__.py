"""Names and calls across machines, over NATS with JetStream: `pip install fauxtp[cluster]`."""

from fauxtp.cluster._engines.engine import NoConnection, Refused
from fauxtp.cluster._names.cluster_name import ClusterName
from fauxtp.cluster._nodes.node_events import NodeDown, NodeUp
from fauxtp.cluster._wire.wire_errors import RemoteError
from fauxtp.cluster._wire.wire_types import cluster_type
from fauxtp.cluster.cluster import Cluster
from fauxtp.cluster.errors import NodeTaken
from fauxtp.cluster.singletons import singleton

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
