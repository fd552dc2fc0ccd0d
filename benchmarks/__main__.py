"""Runs the benchmarks, one part after the other; `make bench` and `make bench-quick` call it.

Each part can be run alone, as `python -m benchmarks.standard --help` tells. They share this machine with their own
broker and store, so let nothing else run beside them.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

#: Name of each part, the module whose `main(arguments)` runs it, and what it shows.
PARTS = {
    "standard": ("benchmarks.standard.__main__", "the standard job in our worker and in what one could take instead"),
    "product": ("benchmarks.product", "the whole product path through real workers"),
    "latency": ("benchmarks.latency", "how long a warning takes under open-loop load"),
    "scale": ("benchmarks.scale", "Redis's memory by users, and how long a worker takes to begin"),
    "acceptance": ("benchmarks.acceptance", "everything that is aimed at, as a table"),
}
#: What runs where no part is named: the others run their parts once more.
USUAL = ("standard", "product", "latency", "scale")
#: What `--quick` runs where no part is named.
QUICK = ("standard",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; returns 1 where one of them failed."""
    listed = "\n".join(f"  {name:12}{shows}" for name, (_, shows) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"parts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which; {', '.join(USUAL)} if not given")
    parser.add_argument("--quick", action="store_true", help="a first look: little data, few rounds")
    parser.add_argument("--json", type=Path, metavar="DIRECTORY", help="write the figures of each part there")
    given = parser.parse_args(argv)
    unknown = set(given.parts) - PARTS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = 0
    for name in given.parts or (QUICK if given.quick else USUAL):
        arguments = ["--quick"] if given.quick else []
        if given.json:
            given.json.mkdir(parents=True, exist_ok=True)
            arguments += ["--json", str(given.json / f"{name}.json")]
        module, shows = PARTS[name]
        print(f"\n== {name}: {shows} ==", flush=True)
        failed |= importlib.import_module(module).main(arguments)
    return failed


if __name__ == "__main__":
    sys.exit(main())
