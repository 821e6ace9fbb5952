"""Checkpoint files: locating, reading and hashing them, and matching them with architectures."""
