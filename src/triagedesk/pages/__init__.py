"""What every page of ours has in common: its frame, its style, its charts, and how figures are written."""
