"""Statistics over examples, settings and backbones: pure functions of arrays.

They read no files or records and do not import torch. See docs/explanation/statistics.md.
"""
