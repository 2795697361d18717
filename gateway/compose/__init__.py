"""The composition root: the only place that introduces adapters to planes."""
