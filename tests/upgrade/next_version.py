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


def main() -> None:
    from features.kernel import compile_kernels

    compile_kernels()
    if "--compile" not in sys.argv:
        from app.settings import load_settings
        from app.worker import run_worker

        run_worker(load_settings())


if __name__ == "__main__":
    main()
