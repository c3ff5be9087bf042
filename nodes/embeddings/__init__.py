"""Pictures and texts in one space: the nodes that embed them, compare them, and choose pictures of a batch."""
