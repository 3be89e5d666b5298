"""What an episode leaves: the tagged sound, chapters, transcript, show notes, cover and feed.

Everything is computed from ``content.Episode``, whose times are whole samples at 48 kHz of the mixed programme.
"""
