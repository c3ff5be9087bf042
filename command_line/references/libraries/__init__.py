"""Commands that describe, change, export and connect libraries."""
