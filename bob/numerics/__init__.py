"""Numerical routines that know nothing of backbones or datasets: linear models, exact search."""
