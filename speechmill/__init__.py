"""The words of the house: lines, takes, timelines, voices, profiles; settings and errors. Imports nothing of ours."""

__version__ = "0.1.0"
