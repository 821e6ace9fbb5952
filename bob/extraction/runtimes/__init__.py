"""Runtimes: eager PyTorch, and faster ways to the same rows."""
