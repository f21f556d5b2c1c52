"""What can be set: every setting with its type, unit, bounds and reason, judged and shown."""
