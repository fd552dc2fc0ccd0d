"""How well the default probability ranks the clients of the Taiwan data, and how fast `replay` is on them.

    python -m benchmarks.ranking taiwan_credit_cards.csv.gz

Converts the file to contract events, replays them through `duewatch replay` with test-then-train learning, takes every
client's score at the September statement, and compares it with the default in October, which no event tells of.
"""

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from samples.taiwan import outcomes, write
from scoring.evaluation import auc, ks

_STATEMENT = re.compile(r"-200509-bill$")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", type=Path, help="the UCI file as .csv or .csv.gz, or a part of it")
    clients: Path = parser.parse_args().clients
    with tempfile.TemporaryDirectory() as directory:
        events, scores = Path(directory, "events.jsonl"), Path(directory, "scores.csv")
        write(clients, events)
        subprocess.run(
            [sys.executable, "-m", "app", "replay", str(events), "--scores", str(scores)],
            check=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        with scores.open(newline="") as file:
            september = {
                row["user_id"]: float(row["default_probability"])
                for row in csv.DictReader(file)
                if _STATEMENT.search(row["event_id"])
            }
    defaulted = outcomes(clients)
    labels = np.array([defaulted[user] for user in september])
    values = np.array(list(september.values()))
    figures = f"AUC {auc(labels, values):.4f}, KS {ks(labels, values):.4f}"
    print(f"{len(labels):,} clients, {labels.sum():,} defaulted: {figures}")


if __name__ == "__main__":
    main()
