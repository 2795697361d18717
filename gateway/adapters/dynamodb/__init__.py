"""Tables in DynamoDB, one file per family."""
