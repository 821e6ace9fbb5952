"""Races of backbones on images: embedded block by block, dropped by a test, survivors run fully."""
