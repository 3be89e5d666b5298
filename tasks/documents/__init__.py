"""Documents: one reader per format, each giving blocks of known kinds with their place in the source."""
