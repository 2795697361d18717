"""Use cases of the control side."""
