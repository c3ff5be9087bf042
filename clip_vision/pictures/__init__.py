"""Pictures as an encoder sees them: read, cut, masked, resized, normalised."""
