"""What runs, and what it does: for logs, consoles and people."""
