"""How what is written is said: one module for each kind of thing, one file of words for each language."""
