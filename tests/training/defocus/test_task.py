"""What a focus model learns: its loss, and the figures of its predictions."""

import numpy as np
import pytest

task = pytest.importorskip(
    "microscope_quality.training.defocus.task",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

pytestmark = pytest.mark.training


def test_ranked_probability_score_by_hand():
    target = np.array([[0, 1, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    predicted = np.array([[0.2, 0.5, 0.3], [0, 0, 1.0], [1 / 3, 1 / 3, 1 / 3]])
    # (0.2 − 0)² + (0.7 − 1)² = 0.13; (0 − 1)² + (0 − 1)² = 2, the largest of three levels; 0.
    found = np.asarray(task.ranked_probability_score(target, predicted))
    np.testing.assert_allclose(found, [0.13, 2.0, 0.0], atol=1e-7)


def test_figures_are_of_all_patches_or_of_those_with_content():
    targets = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32)
    predicted = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]], dtype=np.float32)
    # Scores 0, 2, 1 and, of the empty one, 4/9 + 1/9.
    assert task.DefocusTask((), (), None, None).figures(targets, predicted) == {
        "rps": pytest.approx((0 + 2 + 1 + 5 / 9) / 4, abs=1e-5),
        "exact": pytest.approx(1 / 3, abs=1e-4),
        "within_one": pytest.approx(2 / 3, abs=1e-4),
    }
