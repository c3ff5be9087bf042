"""Vectors of texts and pictures for programs, by the models and in the memory of this ComfyUI."""
