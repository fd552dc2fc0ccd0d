"""How well scores rank, in plain numpy. Ties count half, as the definitions ask for."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


class OneClass(ValueError):
    """Ranking is undefined where all labels are the same."""


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative (Mann-Whitney U / product of sizes).

    `labels` bool[n], `scores` f8[n], greater is riskier. Raises `OneClass`.
    """
    true_positives, false_positives = _cumulated(labels, scores)
    tpr = np.concatenate([[0.0], true_positives / true_positives[-1]])
    fpr = np.concatenate([[0.0], false_positives / false_positives[-1]])
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))


def ks(labels: ArrayLike, scores: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance of the scores of positives from those of negatives, 0 to 1. Raises `OneClass`."""
    true_positives, false_positives = _cumulated(labels, scores)
    return float(np.max(np.abs(true_positives / true_positives[-1] - false_positives / false_positives[-1])))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean precision over the recall gained at each distinct score, from the top. Raises `OneClass`."""
    true_positives, false_positives = _cumulated(labels, scores)
    recall = np.concatenate([[0.0], true_positives / true_positives[-1]])
    return float(np.sum(np.diff(recall) * true_positives / (true_positives + false_positives)))


def _cumulated(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True and false positives at each distinct score, from the greatest down."""
    label, score = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if label.all() or not label.any():
        raise OneClass("both classes are needed")
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true_positives = np.cumsum(label[order])[ends].astype(np.float64)
    return true_positives, ends + 1 - true_positives
