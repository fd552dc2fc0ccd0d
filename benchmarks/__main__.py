"""Runs the benchmarks, one part after the other; `make bench` and `make bench-quick` call it.

Each part can be run alone, as `python -m benchmarks.standard --help` tells. They share this machine with their own
broker and store, so let nothing else run beside them.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

#: Name of each part, a module with `main(arguments)` in its `__main__`, and what it shows.
PARTS = {
    "standard": "the standard job in our worker and in what one could take instead",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; returns 1 where one of them failed."""
    listed = "\n".join(f"  {name:12}{shows}" for name, shows in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"parts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="which; all if not given")
    parser.add_argument("--quick", action="store_true", help="a first look: little data, few rounds")
    parser.add_argument("--json", type=Path, metavar="DIRECTORY", help="write the figures of each part there")
    given = parser.parse_args(argv)
    unknown = set(given.parts) - PARTS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = 0
    for name in given.parts or PARTS:
        arguments = ["--quick"] if given.quick else []
        if given.json:
            given.json.mkdir(parents=True, exist_ok=True)
            arguments += ["--json", str(given.json / f"{name}.json")]
        print(f"\n== {name}: {PARTS[name]} ==", flush=True)
        failed |= importlib.import_module(f"benchmarks.{name}.__main__").main(arguments)
    return failed


if __name__ == "__main__":
    sys.exit(main())
