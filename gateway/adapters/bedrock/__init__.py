"""The way to Bedrock: connections and credentials."""
