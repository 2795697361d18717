"""The write-ahead file of a proxy worker: what it is about to do with money, before it does it."""
