"""One module per change of the tables, in order of their numbers."""
