"""What is fetched over HTTP off the path."""
