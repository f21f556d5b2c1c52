"""The reading side of an archive: what was observable at an instant, and what proves it."""
