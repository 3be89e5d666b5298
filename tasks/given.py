"""What a job that is held to roots was given: names or copies of our own of the files that its request names, as they
were when they were judged. A name may come to mean something else at any moment, so what is judged is what was opened.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speechmill.errors import BadInput
from speechmill.roots import Roots, opened
from storage.objects import link_or_copy
from storage.scratch import Scratch, system_errors


@dataclass(frozen=True, slots=True)
class Given:
    """The files of one run."""

    folder: Path
    roots: Roots  # with the folder itself, so that what was taken may be read like what lies under the others

    def taken(self, path: Path) -> Path:
        """A file of ours for one under the roots, of the same name. Raises ``ForbiddenSource``, and ``BadInput`` for
        what cannot be read."""
        if path.is_relative_to(self.folder):
            return path
        try:
            file = opened(path, self.roots)
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}", hint="check its name") from None
        with file:
            return self._kept(file, path.name)

    def kept(self, path: Path) -> Path:
        """The same for a file that is ours already."""
        with path.open("rb") as file:
            return self._kept(file, path.name)

    def _kept(self, file: BinaryIO, name: str) -> Path:
        with system_errors():
            ours = Path(tempfile.mkdtemp(dir=self.folder)) / name  # two may have one name
            link_or_copy(file, ours)
        return ours


@contextmanager
def given(roots: Roots, scratch: Path) -> Iterator[Given]:
    """Files that stay as they are while this lasts."""
    with Scratch(scratch).folder() as folder:
        yield Given(folder, (*roots, str(folder)))
