"""Learns from matured labels, one by one: River's StandardScaler and LogisticRegression, begun as the scorecard.

The pipeline's first regressor is the scorecard's log-odds, and its prior makes it equal to the scorecard: a few dozen
labels adjust the level and the spread of the probability to the book, hundreds add what the other regressors tell. How
the user repays enters through the scorecard alone, on purpose: labels are days past due by the book's own minimum
rule, and weights left free on repayment behaviour learned that rule (who pays little) instead of who stops paying.
Classes are not reweighted, so the probability keeps its meaning.
"""

import heapq
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing
from river.utils import VectorDict

from scoring.inputs import INPUTS, LEARNED
from scoring.logistic import REGRESSORS, Logistic, OtherSchema, regressors
from scoring.model import Model
from scoring.scorecard import BASE_LOG_ODDS, Scorecard

LEARNING_RATE = 0.01
#: The prior counts like this many examples in the scaler.
PRIOR_EXAMPLES = 50
#: At most so many examples wait for those scored with them; then the oldest are learned as they are. What waits is in
#: the learner's state, and that has to fit in a message.
MOST_WAITING = 5_000
#: Below this slope on the scorecard's log-odds, labels and scorecard mean different things by default, so that a person
#: should look: keep on warming.
LEAST_SLOPE = 0.5


class Learner:
    """The champion's teacher: give it matured examples in order, ask it for the model.

    It is `warming` until it has seen `minimum_examples`, `minimum_positives` of them, and has predicted them, each
    before it learned it, at least as well (in log loss) as the scorecard did.
    """

    def __init__(self, minimum_examples: int = 200, minimum_positives: int = 20) -> None:
        self.minimum_examples = minimum_examples
        self.minimum_positives = minimum_positives
        self.examples = 0
        self.positives = 0
        self.refused = 0
        self._waiting = _Waiting()
        self._log_loss = 0.0
        self._scorecard_log_loss = 0.0
        self._scaler = preprocessing.StandardScaler()
        for name in REGRESSORS:
            low, high = LEARNED.get(name, (BASE_LOG_ODDS - 1.0, BASE_LOG_ODDS + 1.0))
            self._scaler.counts[name] = PRIOR_EXAMPLES
            self._scaler.means[name] = BASE_LOG_ODDS if name == "scorecard" else 0.0
            self._scaler.vars[name] = ((high - low) / 2) ** 2
        self._regression = linear_model.LogisticRegression(
            optimizer=optim.SGD(LEARNING_RATE), intercept_init=BASE_LOG_ODDS, intercept_lr=LEARNING_RATE
        )
        self._set_weights(dict.fromkeys(REGRESSORS, 0.0) | {"scorecard": 1.0})
        self._pipeline = compose.Pipeline(self._scaler, self._regression)

    def _set_weights(self, weights: Mapping[str, float]) -> None:
        # River has no public way to begin from given weights.
        self._regression._weights = VectorDict(dict(weights), self._regression.initializer)

    def learn(self, vector: NDArray[np.floating[Any]], label: bool, scored: int | None = None) -> None:
        """Learns one matured example; see `learn_many`."""
        self.learn_many(np.asarray(vector)[None], [label], None if scored is None else [scored])

    def learn_many(
        self, vectors: NDArray[np.floating[Any]], labels: Sequence[bool], scored: Sequence[int] | None = None
    ) -> None:
        """Takes matured examples in the order in which they matured.

        `vectors` [n, at least len(INPUTS)] are inputs in the order of `INPUTS`, as scored (more columns are ignored),
        `labels` [n] True for a default. A vector that is not finite teaches nothing: it is counted in `refused`.
        `scored` [n] says when each was scored (any unit): then they are learned in that order, see `_Waiting`; without
        it at once. Raises `OtherSchema` for fewer columns.
        """
        inputs = np.asarray(vectors, np.float64)[:, : len(INPUTS)]
        if inputs.shape[1] != len(INPUTS):
            raise OtherSchema(f"expected {len(INPUTS)} inputs, got {inputs.shape[1]}")
        finite = np.asarray(np.isfinite(inputs).all(axis=1))
        columns = regressors(np.where(finite[:, None], inputs, 0.0)).T.tolist()
        times: Sequence[int | None] = [None] * len(columns) if scored is None else scored
        for values, label, usable, time in zip(columns, labels, finite.tolist(), times, strict=True):
            if not usable:
                self.refused += 1
            elif time is None:
                self._learn_one(values, bool(label))
            else:
                for past, known in self._waiting.add(int(time), bool(label), values):
                    self._learn_one(past, known)

    def _learn_one(self, values: list[float], label: bool) -> None:
        x = dict(zip(REGRESSORS, values, strict=True))
        self._log_loss += _log_loss(self.predict(x), label)
        self._scorecard_log_loss += _log_loss(1.0 / (1.0 + math.exp(-x["scorecard"])), label)
        self._pipeline.learn_one(x, label)
        self.examples += 1
        self.positives += label

    def predict(self, x: Mapping[str, float]) -> float:
        """River's own probability for named regressors: what the compiled model is tested against."""
        return float(self._pipeline.predict_proba_one(dict(x))[True])

    @property
    def warming(self) -> bool:
        """True while the scorecard should decide."""
        scale = self._scaler.vars["scorecard"] ** 0.5
        return (
            self.examples < self.minimum_examples
            or self.positives < self.minimum_positives
            or self._log_loss > self._scorecard_log_loss
            or self._regression.weights["scorecard"] < LEAST_SLOPE * scale
        )

    def snapshot(self, version: str | None = None) -> Logistic:
        """What has been learned so far, compiled; `warming` says whether it should decide already."""
        weights = self._regression.weights
        return Logistic(
            version=version or f"scorecard-logistic-{self.examples}",
            mean=tuple(float(self._scaler.means[name]) for name in REGRESSORS),
            scale=tuple(float(self._scaler.vars[name] ** 0.5) for name in REGRESSORS),
            weight=tuple(float(weights[name]) for name in REGRESSORS),
            intercept=float(self._regression.intercept),
            warming=self.warming,
        )

    def champion(self, version: str | None = None) -> Model:
        """The model that should decide now: the scorecard while warming, else the compiled snapshot."""
        return Scorecard() if self.warming else self.snapshot(version)

    def state(self) -> dict[str, Any]:
        """Everything learned and waiting: numbers and flat lists of numbers by name, and the names of the inputs."""
        weights = self._regression.weights
        return {
            "inputs": list(INPUTS),
            "examples": self.examples,
            "positives": self.positives,
            "refused": self.refused,
            "log_loss": self._log_loss,
            "scorecard_log_loss": self._scorecard_log_loss,
            "waiting": self._waiting.state(),
            "count": [int(self._scaler.counts[name]) for name in REGRESSORS],
            "mean": [float(self._scaler.means[name]) for name in REGRESSORS],
            "variance": [float(self._scaler.vars[name]) for name in REGRESSORS],
            "weight": [float(weights[name]) for name in REGRESSORS],
            "intercept": float(self._regression.intercept),
            "iterations": int(self._regression.optimizer.n_iterations),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], minimum_examples: int = 200, minimum_positives: int = 20) -> "Learner":
        """A learner that goes on where `state` was taken. Raises `OtherSchema` for other inputs."""
        if tuple(state["inputs"]) != INPUTS or len(state["weight"]) != len(REGRESSORS):
            raise OtherSchema("the state was learned from other inputs than this version of the product has")
        learner = cls(minimum_examples, minimum_positives)
        learner.examples, learner.positives = state["examples"], state["positives"]
        learner.refused = state["refused"]
        learner._log_loss, learner._scorecard_log_loss = state["log_loss"], state["scorecard_log_loss"]
        learner._waiting = _Waiting.restore(np.atleast_1d(state["waiting"]).tolist())
        for position, name in enumerate(REGRESSORS):
            learner._scaler.counts[name] = state["count"][position]
            learner._scaler.means[name] = state["mean"][position]
            learner._scaler.vars[name] = state["variance"][position]
        learner._set_weights(dict(zip(REGRESSORS, state["weight"], strict=True)))
        learner._regression.intercept = state["intercept"]
        learner._regression.optimizer.n_iterations = state["iterations"]
        return learner


class _Waiting:
    """Puts matured examples in the order in which they were scored.

    A default shows long before the window of those scored with it has closed. Learned as they mature, labels would come
    in blocks of defaults only and of none at all, and the probability would follow the newest block. So examples wait
    until a negative that was scored later has matured: then everything scored before it has, too. Those scored at one
    instant are mixed by a hash of their values.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, bool, list[float]]] = []
        self._closed = 0

    def add(self, scored: int, label: bool, values: list[float]) -> list[tuple[list[float], bool]]:
        """Takes an example and returns those that have waited long enough, in order."""
        heapq.heappush(self._heap, (scored, _mix(values), label, values))
        if not label:
            self._closed = max(self._closed, scored)
        ready = []
        while self._heap and (self._heap[0][0] < self._closed or len(self._heap) > MOST_WAITING):
            _, _, known, past = heapq.heappop(self._heap)
            ready.append((past, known))
        return ready

    def state(self) -> list[float]:
        """What waits: the greatest scored time of a negative, then time, label and values of each example."""
        return [float(self._closed)] + [
            float(number) for time, _, label, values in sorted(self._heap) for number in (time, label, *values)
        ]

    @classmethod
    def restore(cls, state: Sequence[float]) -> "_Waiting":
        """Goes on where `state` was taken."""
        waiting, each = cls(), 2 + len(REGRESSORS)
        waiting._closed = int(state[0])
        for start in range(1, len(state), each):
            time, label, *values = state[start : start + each]
            waiting._heap.append((int(time), _mix(values), bool(label), list(values)))
        return waiting  # sorted, so a heap


def _mix(values: Sequence[float]) -> int:
    return zlib.crc32(struct.pack(f"<{len(values)}d", *values))


def _log_loss(probability: float, label: bool) -> float:
    return -math.log(max(probability if label else 1.0 - probability, 1e-12))
