"""Sounds of a test's own, in a store as any other artifact."""

from __future__ import annotations

from pathlib import Path

from speechmill.recipes import Artifact, Recipe, digest_of_file
from storage.artifacts import ArtifactStore
from storage.objects import copy_file


def keep_file(store: ArtifactStore, path: Path) -> Artifact:
    """Keep a copy of a file, as what a recipe made."""
    recipe = Recipe("given", "1", inputs=[digest_of_file(path)])
    return store.get_or_make(recipe, lambda out: copy_file(path, out), path.suffix)
