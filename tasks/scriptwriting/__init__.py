"""Scriptwriting: from the blocks of a document to the lines of an episode, by rule or by a language model."""
