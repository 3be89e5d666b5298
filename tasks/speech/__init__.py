"""Speech in sound: where it is, who speaks, at what pitch, how well it was said."""
