"""What a user starts: dubbing, retake, the command line."""
