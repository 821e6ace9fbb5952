"""Runtimes: eager PyTorch, and faster ways to compute the same features."""
