"""AWS wire facts, sans-IO: bytes in, values out."""
