"""Usage records on their way to the store that keeps them."""
