"""Loaders: one module per source of architectures and weights."""
