import math

import pytest

from datagen.questions.family import Unasked
from datagen.questions.takes import ranked


def test_a_score_that_cannot_be_computed_ranks_nowhere():
    for scores in ([1.0, math.nan, 2.0], [math.nan, 3.0, 1.0]):
        with pytest.raises(Unasked, match="not computable"):
            ranked([*enumerate(scores)], 1)
