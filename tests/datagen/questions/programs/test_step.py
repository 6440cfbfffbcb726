import pytest

from datagen.questions.programs.step import Step, steps


def test_about_fifty_steps_are_there_under_names_of_their_own():
    assert 40 < len(steps()) < 60
    assert all(
        name == step.name and name.replace("_", "").isalpha() for name, step in steps().items()
    )


def test_a_slot_that_a_step_lacks_is_named():
    with pytest.raises(ValueError, match=r"odd: \{m\} is no slot"):
        Step(name="odd", kind="conditions", slots={"n": "amount"}, says="{m}", code="", sql="")
