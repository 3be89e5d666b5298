"""Text as lines: scripts, transcripts, subtitles, glossaries, what is spoken for what is written."""
