"""Features of pictures in files, with what is kept of the pictures."""
