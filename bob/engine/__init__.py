"""Engines: what carries out a plan, and the one place where protocols are run."""
