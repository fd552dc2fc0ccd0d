"""A worker of the version after this one: its records have one field more, and a schema version of their own.

Everything else is the present code, so all that the two versions disagree about is how a record is stored. Run with
`--compile` it only compiles its kernels. NUMBA_CACHE_DIR keeps them apart from the present version's.
"""

import sys

import features.record
from tests.upgrade import layout

present = features.record.RECORD, features.record.SCHEMA_VERSION
features.record.RECORD = layout.NEXT_RECORD
features.record.SCHEMA_VERSION = layout.NEXT_VERSION

import features.packing  # noqa: E402 - only now, so that everything takes the next version's record

features.packing.LAYOUTS[present[1]] = present[0]


def compile_here() -> None:
    """Compile in this process: another one would know nothing of the next version."""
    from features.kernel import KERNELS
    from messages.compiling import compile_module
    from messages.machine_code import keep

    for module in KERNELS:
        keep(module, compile_module(module))


def main() -> None:
    if "--compile" in sys.argv:
        compile_here()
    else:
        from app.settings import load_settings
        from app.worker import run_worker

        run_worker(load_settings())


if __name__ == "__main__":
    main()
