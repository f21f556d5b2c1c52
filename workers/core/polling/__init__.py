"""What is asked of the venue and when, and what an answer is."""
