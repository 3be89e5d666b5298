"""Where things are kept: objects, artifacts, the catalog and its migrations."""
