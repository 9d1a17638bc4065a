"""``python -m protosocket``: the same as the program ``protosocket``."""

from __future__ import annotations

from protosocket.cli.main import main

if __name__ == "__main__":
    main()
