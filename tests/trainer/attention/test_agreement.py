import math

import pytest
import torch

from trainer.attention.agreement import Agreement, apart, largest


@pytest.mark.parametrize(
    ("difference", "rounding", "fault", "holds"),
    [
        (4.5e-4, 0.0, 2.8, True),  # TF32 against fp32
        (4.5e-4, 0.0, 0.1, False),
        (4.5e-4, 2e-4, 0.1, True),
        (0.05, 0.0, 2.8, False),
        (0.062, 0.04, 2.9, True),  # SmolLM2-135M in bf16, packed
        (2.9, 0.04, 2.9, False),
        (5e-6, 0.0, 0.0, True),
        (math.inf, 0.0, 2.8, False),
        (math.nan, 0.1, 2.8, False),
    ],
)
def test_a_difference_is_judged_by_rounding_and_by_the_fault(difference, rounding, fault, holds):
    assert Agreement([(27, 0.0), (27, difference)], rounding, fault).holds is holds


def test_differences_are_means_of_each_pair():
    left = [torch.tensor([1.0, 2.0]), torch.zeros(0), torch.zeros(3)]
    right = [torch.tensor([1.5, 4.0]), torch.zeros(0), torch.zeros(2)]
    assert apart(left, right) == [1.25, 0.0, math.inf]


def test_a_value_that_is_not_a_number_is_the_largest():
    assert math.isnan(largest([1.0, math.nan, 2.0]))
    assert largest([1.0, 2.0]) == 2.0
    assert largest([]) == 0.0
