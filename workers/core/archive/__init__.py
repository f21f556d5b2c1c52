"""What a segment is: its name, its rows, its manifest, its ledger, and what proves it."""
