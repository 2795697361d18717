"""Facts made into logs and metrics."""
