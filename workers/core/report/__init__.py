"""What a day was worth: figures, their rankings, and pages for people."""
