"""Datasets: where images, labels and splits come from."""
