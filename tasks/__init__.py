"""The stages of a job, one noun per module."""
