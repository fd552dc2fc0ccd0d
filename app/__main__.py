"""`python -m app`, and also `python PATH/TO/app`: the same as the `duewatch` command."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the command line on our packages, whatever else is called `app` or `agents`."""
    # Run by its path, Python has put this directory itself first, which would offer our modules without their package.
    sys.path[:] = [entry for entry in sys.path if entry != str(HERE)]
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))
    from duewatch import main as run_command

    run_command()


if __name__ == "__main__":
    main()
