import subprocess
import sys

from tests.project.repository import ROOT

#: What learning needs and a worker, which never learns, would only hold in memory.
LEARNING = ("river", "sklearn", "pandas")


def test_a_worker_does_not_load_what_only_learning_needs() -> None:
    loaded = f"import sys, app.worker, app.build; print(sorted(set(sys.modules) & set({LEARNING!r})))"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
