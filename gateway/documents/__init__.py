"""Files that people write: YAML with marks, errors that name file, line, column and the remedy."""
