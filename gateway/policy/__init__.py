"""Which limits apply to whom: documents, and what they say for one caller."""
