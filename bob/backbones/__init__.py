"""Backbones: frozen weights, their preprocessing and the outputs that can be read from them."""
