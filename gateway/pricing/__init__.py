"""What tokens and units cost, and what a call may cost at most."""
