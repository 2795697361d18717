"""An enforcement gateway for Amazon Bedrock: who calls, what it may cost, what it did cost."""
