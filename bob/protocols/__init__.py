"""Protocols: pure functions from features and labels to outcomes."""
