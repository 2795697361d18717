"""How usage is read from an answer as its bytes pass by."""
