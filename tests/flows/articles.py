"""A short article, and its episode as the rehearsal engine speaks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.flows.conftest import Ran, Speechmill

ARTICLE = """---
author: Ana Prat
---

# A morning walk

It was early, and the streets were empty.

## The river

We walked to the river. There were 12 boats on the water.

```python
print("not read")
```

## Home

Then we went home and had breakfast.
"""


@pytest.fixture
def article(tmp_path: Path) -> Path:
    file = tmp_path / "article.md"
    file.write_text(ARTICLE, "utf-8")
    return file


def rehearse(speechmill: Speechmill, source: Path, out: Path, *more: str | Path) -> Ran:
    return speechmill("podcast", source, "--engine", "rehearsal", "--out", out, "--no-prefect", "--json", *more)
