"""The past as a stream: scenes in time order, out of raw segments or out of derived tables."""
