"""The image of a pod: built without an engine, run, and stopped."""
