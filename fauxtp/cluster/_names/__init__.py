"""Names of a cluster: who has them, takes them, loses them."""
