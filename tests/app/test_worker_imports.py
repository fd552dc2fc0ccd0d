import subprocess
import sys

from tests.project.repository import ROOT

#: What learning and compiling need; a worker, which leaves both to other processes, would only hold it in memory.
ELSEWHERE = ("river", "sklearn", "pandas", "numba", "scipy")
LOADED = f"""
import sys, app.worker, app.build
from app.kernels import WORKING
from features.kernel import compile_kernels
compile_kernels(*WORKING)
print(sorted(set(sys.modules) & set({ELSEWHERE!r})))
"""


def test_a_worker_does_not_load_what_only_learning_and_compiling_need() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
