"""Text encoders of CLIP and SigLIP, from the files that hold the image encoders: texts to vectors in their space."""
