"""Every block of the README holds."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import metricreg

BLOCKS = re.findall(
    r"^```(python|json|text)\n(.*?)^```$",
    (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8"),
    re.M | re.S,
)


def test_the_python_prints_what_it_says() -> None:
    namespace: dict[str, Any] = {}
    printed = ""
    for language, text in BLOCKS:
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(text, "README.md", "exec"), namespace)
            printed = output.getvalue()
        elif language == "text":
            assert printed == text
    assert sum(language == "python" for language, _ in BLOCKS) >= 5


def test_the_specs_build() -> None:
    specs = [json.loads(text) for language, text in BLOCKS if language == "json"]
    assert len(specs) == 2
    for spec in specs:
        assert not metricreg.validate(spec)
        metricreg.build(spec)
