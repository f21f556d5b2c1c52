"""What the market channel tells: frames, rebuilt books, their worth, and one line of many."""
