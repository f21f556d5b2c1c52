"""Drills: pages of docs/OPERATIONS.md practised on a loopback fleet: python -m tests.drills."""
