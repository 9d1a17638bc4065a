"""What a control code means is decided in the core, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

BINDING = Path(__file__).parent.parent / "rust" / "py" / "src"


def test_the_binding_names_no_control_code() -> None:
    sources = {path: path.read_text() for path in BINDING.rglob("*.rs")}
    assert sources
    assert [path.name for path, text in sources.items() if re.search(r"\bControl\b", text)] == []
