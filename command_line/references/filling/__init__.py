"""Commands that embed pictures into libraries."""
