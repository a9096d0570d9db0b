"""The HTTP routes: each parses, calls once, and answers."""
