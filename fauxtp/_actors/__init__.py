"""What users derive from: actors, servers and tasks, and what happens to one in its life."""
