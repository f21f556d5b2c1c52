"""What became of every tick that was due, and how a tick was lost."""
