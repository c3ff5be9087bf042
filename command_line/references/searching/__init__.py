"""Commands that find and compare pictures."""
