"""What is asked of an archive, and what it answers."""
