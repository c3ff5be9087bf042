"""Vectors of texts and pictures for programs: one loaded model for all that ask, and requests joined into batches."""
