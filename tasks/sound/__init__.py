"""Sound as numbers: layouts, gains, loudness, mixing, mastering, encoding."""
