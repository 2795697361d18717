"""The data path, one file per stage."""
