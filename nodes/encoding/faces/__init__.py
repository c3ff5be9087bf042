"""Faces in pictures, and the features of them that adapters read."""
