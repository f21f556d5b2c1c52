"""Derived tables: their columns, and the rows that raw segments make."""
