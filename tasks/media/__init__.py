"""Media as files: what they are, taking them apart by ffmpeg, packing and publishing them."""
