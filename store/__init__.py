"""What a partition knows, and the one atomic step in which it changes."""
