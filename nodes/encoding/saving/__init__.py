"""Features that are saved, and loaded again."""
