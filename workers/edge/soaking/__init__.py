"""A soak: samples of a fleet, and the evidence of hours."""
