"""Where, and how much, references acted: the record of a run, its maps, and the nodes."""
