"""A simulated Bedrock that speaks the real wire and keeps its own bill."""
