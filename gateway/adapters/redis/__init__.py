"""The ledger and the journal stream on Redis."""
