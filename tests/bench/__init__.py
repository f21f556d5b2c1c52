"""Measurements: both sides in turn in one run, medians and ratios. `make bench` runs them all."""
