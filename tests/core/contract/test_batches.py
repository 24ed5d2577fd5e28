import pytest

from pdistill.core.contract.batches import Batch, PolicyRow, SoftRow, hard_batch, hard_row


def test_loss_is_computed_only_on_the_target() -> None:
    row = hard_row([1, 2, 3], [8, 9])
    assert (list(row.ids), list(row.targets)) == ([1, 2, 3, 8], [2, 3, 8, 9])
    assert list(row.weights) == [0.0, 0.0, 1.0, 1.0]


def test_the_weights_of_a_batch_add_up_to_one() -> None:
    batch = hard_batch([hard_row([1], [2]), hard_row([1, 2], [3, 4, 5])])
    assert sum(sum(row.weights) for row in batch.rows) == pytest.approx(1)
    assert {weight for row in batch.rows for weight in row.weights} == {0.0, 0.25}


def test_each_kind_of_row_has_its_loss() -> None:
    soft = SoftRow([1], [[2, 3]], [[0.9, 0.1]], [1.0])
    policy = PolicyRow([1], [2], [-0.5], [1.0], [1.0])
    losses = [Batch([row]).loss for row in (hard_row([1], [2]), soft, policy)]
    assert losses == ["cross_entropy", "soft_cross_entropy", "importance_sampling"]
