"""Predictions of pixels against torch, and their counts against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch.nn.functional import interpolate

from bob.numerics.dense.pixels import agreement, contenders, upsampled, upsampled_classes


@pytest.mark.parametrize("size", [(37, 61), (4, 5), (3, 2), (64, 8), (1, 1)])
def test_predictions_are_those_of_interpolated_logits(size: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 6))
    tensor = torch.from_numpy(logits).permute(2, 0, 1)[None].float()
    expected = interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0].argmax(0)
    np.testing.assert_array_equal(upsampled_classes(logits, size), expected.numpy())


@pytest.mark.parametrize("size", [(37, 61), (4, 5), (3, 2), (1, 1)])
def test_values_are_upsampled_as_torch_interpolates(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=(4, 5))
    tensor = torch.from_numpy(values)[None, None]
    expected = interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(upsampled(values, size), expected.numpy(), atol=1e-6)


def test_equal_logits_give_the_lower_class() -> None:
    assert upsampled_classes(np.array([[[1.0, 2.0, 2.0]]]), (2, 3)).tolist() == [[1] * 3] * 2


def test_counts_are_those_of_a_confusion_matrix_of_the_labelled_pixels() -> None:
    rng = np.random.default_rng(1)
    mask, predicted = rng.integers(-1, 4, (9, 7)), rng.integers(0, 5, (9, 7))
    kept = mask >= 0
    matrix = confusion_matrix(mask[kept], predicted[kept], labels=range(5))
    right, said, true = agreement(mask, predicted, 5)
    assert right.tolist() == np.diag(matrix).tolist()
    assert said.tolist() == matrix.sum(0).tolist() and true.tolist() == matrix.sum(1).tolist()


def test_one_class_contends_where_it_is_far_above_the_others_in_four_cells() -> None:
    """Columns 0 to 2 and 3 to 5 of the cells have a class each: both contend from column 2 to 3."""
    logits = np.random.default_rng(2).normal(size=(4, 6, 40))
    logits[:, :3, 7] += 99
    logits[:, 3:, 5] += 99
    tensor = torch.from_numpy(logits).permute(2, 0, 1)[None].float()
    size = (37, 61)
    expected = interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0].argmax(0)
    np.testing.assert_array_equal(upsampled_classes(logits, size), expected.numpy())
    contend = contenders(np.asarray(logits.transpose(2, 0, 1), np.float32))
    assert contend[:, :, [0, 1, 3, 4, 5]].sum(axis=0).tolist() == [[1] * 5] * 4
    assert contend[[5, 7]][:, :, 2].all()
