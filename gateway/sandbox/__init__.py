"""Everything that runs without an account: simulated Bedrock, embedded stores, demo traffic."""
