"""What a day of the archive comes to: mined figures, and the evidence of a quality report."""
