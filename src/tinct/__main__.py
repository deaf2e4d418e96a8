"""`python -m tinct`: the command line, for launchers that start modules (`accelerate launch -m tinct`)."""

from __future__ import annotations

from tinct.cli import main

if __name__ == "__main__":
    main()
