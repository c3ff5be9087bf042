"""Files of image encoders: their layouts, what the tensors tell, the table of known encoders, weights in and out."""
