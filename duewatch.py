"""The `duewatch` command: finds our packages, also where another distribution installs an `app` or an `agents`."""

import importlib.util
import sys
from pathlib import Path

#: Where our packages lie, and those whose names others use too.
HOME = Path(__file__).resolve().parent
CONTESTED = ("app", "agents")


def prefer_our_packages() -> None:
    """Put our directory first on the import path, but only where something else would be found."""
    for name in CONTESTED:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != HOME / name:
            sys.path.insert(0, str(HOME))
            importlib.invalidate_caches()
            for module in [module for module in sys.modules if module.partition(".")[0] in CONTESTED]:
                del sys.modules[module]
            return


def main() -> None:
    """Run the command line."""
    prefer_our_packages()
    from app.cli import run

    run()


if __name__ == "__main__":
    main()
