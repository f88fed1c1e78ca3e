"""Uploads: files that come in parts of a few megabytes."""
