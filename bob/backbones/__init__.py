"""Backbones: frozen weights, their preprocessing and their poolings."""
