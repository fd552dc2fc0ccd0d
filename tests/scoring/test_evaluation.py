import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from scoring.evaluation import OneClass, auc, average_precision, ks

SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


@settings(deadline=None)  # the first example waits for an import
@given(SCORED)
def test_the_figures_equal_those_of_scikit_learn_ties_included(pairs: list[tuple[bool, int]]) -> None:
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    false_positives, true_positives, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ks(labels, scores) == pytest.approx(np.max(np.abs(true_positives - false_positives)), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("figure", [auc, ks, average_precision])
def test_labels_of_one_class_are_refused(figure: object) -> None:
    assert callable(figure)
    for labels in ([True, True], [False, False]):
        with pytest.raises(OneClass):
            figure(labels, [0.1, 0.2])
