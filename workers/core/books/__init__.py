"""What a book is: exact levels, the venue's order, the hash found again."""
