"""What can be trained, on what, and what it costs: rows of one file."""
