"""Which markets are recorded: what Gamma says, what the clock says, and what follows."""
