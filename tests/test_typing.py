"""The types that people's checkers see."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import metricreg
from tests.documentation import modules_of
from tests.type_checkers import ROOT, said_by_mypy, said_by_pyright

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

checkers = pytest.mark.parametrize("said_by", [said_by_mypy, said_by_pyright])


def write(name: str, markdown: str, folder: Path) -> None:
    """Write the Python of a page to a folder of its name."""
    for title, text in modules_of(name.replace("-", "_"), markdown).items():
        file = folder / name / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@checkers
def test_type_checkers_agree_with_the_stated_uses(said_by: Callable[[Path], list[str]], tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "typing" / "api.py", tmp_path)
    assert said_by(tmp_path) == []


@checkers
def test_type_checkers_find_nothing_wrong_in_the_documentation(
    said_by: Callable[..., list[str]], tmp_path: Path
) -> None:
    for page in PAGES:
        write(page.stem, page.read_text(encoding="utf-8"), tmp_path)
    roots = [folder.name for folder in tmp_path.iterdir()]
    assert {"README", "plugins", "batch-and-terms"} <= set(roots)
    assert said_by(tmp_path, *roots) == []


PAGE = """\
# Title

```python title="acme.py"
class Acme:
    size: int = "1"
```

```python
from acme import Acme
```

<!-- docs: illustration -->
```python
undefined
```

```python
Acme().length
```
"""


@checkers
def test_a_wrong_type_is_found_where_it_stands_on_a_page(said_by: Callable[..., list[str]], tmp_path: Path) -> None:
    write("page", PAGE, tmp_path)
    said = said_by(tmp_path, "page")
    found = [re.search(r"(\w+\.py):(\d+): .*(\bint\b|length)", line) for line in said]
    assert {match.groups() for match in found if match} == {("acme.py", "5", "int"), ("page.py", "18", "length")}, said


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(metricreg.__file__).parent / "py.typed").exists()
