"""The part that touches the world: one module for each outside thing, its only owner."""
