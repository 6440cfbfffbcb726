import pytest

from datagen.evaluation.comparison import compare_models, effort, measure_model
from datagen.evaluation.comparison_text import comparison_lines, model_lines
from datagen.evaluation.conclusion import verdict
from tests.datagen.answered import both, episode
from trainer.contract.command.errors import BadData


def test_a_gain_and_a_regression_are_said_equally_loudly():
    base, adapter = both(30, 2, 40, tables=12)
    gain, loss = compare_models(base, adapter), compare_models(adapter, base)
    assert verdict(gain) == "the adapter is BETTER than the base by +0.389"
    assert verdict(loss) == "the adapter is WORSE than the base by -0.389"
    assert gain["low"] < gain["difference"] < gain["high"]
    assert (gain["clusters"], gain["reliable"]) == (12, True)
    assert comparison_lines(gain)[-1] == gain["verdict"] == verdict(gain)


def test_too_few_questions_are_said_to_be_too_few():
    found = compare_models(*both(2, 1, 3, tables=3))
    assert "no significant difference (+0.167)" in verdict(found)
    assert "too few" in verdict(found)
    assert any(
        "only 3 tables: the interval is too narrow" in line for line in comparison_lines(found)
    )


def test_groups_add_up_and_order_does_not_matter():
    base, adapter = both(5, 2, 9, tables=4)
    found = compare_models(base, adapter[::-1])
    for name in ("families", "tables", "difficulties", "sources", "answer_types"):
        assert sum(row["n"] for row in found[name].values()) == found["n"] == 16
        assert sum(row["wins"] for row in found[name].values()) == found["wins"]


def test_each_group_has_the_interval_of_wilson_1927():
    """Judge: the formula, in Newcombe's form (Statistics in Medicine 17, 1998), for 14 and 11 of 16."""
    found = compare_models(*both(5, 2, 9, tables=4))
    ((_, row),) = found["difficulties"].items()
    for side, k in (("base", 11), ("adapter", 14)):
        n, z, p = 16, 1.959964, k / 16
        middle, half = 2 * n * p + z * z, z * (z * z + 4 * n * p * (1 - p)) ** 0.5
        low, high = ((middle + sign * half) / (2 * (n + z * z)) for sign in (-1, 1))
        assert row["intervals"][side] == pytest.approx([low, high], abs=1e-6)
        assert found["intervals"][side] == row["intervals"][side]


def test_the_text_has_ties_intervals_what_n_can_show_and_each_group_with_several_names():
    base, adapter = both(30, 2, 40, tables=12)
    hard = [e.question.model_copy(update={"difficulty": "hard"}) for e in base]
    mixed = [e.model_copy(update={"question": q}) for e, q in zip(base, hard, strict=True)]
    found = compare_models([*mixed[:20], *base[20:]], adapter)
    told = comparison_lines(found)
    assert any(line.startswith("hard ") for line in told)
    assert not any(line.startswith("integer ") for line in told)  # all of them are
    assert (
        f"40 ties; 72 questions over 12 tables can show a difference of {found['smallest']:.2f} or more"
        in told
    )
    low, high = found["intervals"]["adapter"]
    assert f"adapter: 0.972, 95% interval {low:.3f} to {high:.3f} (Wilson)" in told
    few = comparison_lines(compare_models(*both(1, 0, 0, tables=1)))
    assert "0 ties; 1 questions over 1 tables can show no difference of any size" in few


def test_results_of_other_questions_are_refused_and_some_are_counted():
    base, adapter = both(5, 2, 9, tables=4)
    assert compare_models(base[:10], adapter[4:])["unpaired"] == 10
    with pytest.raises(BadData, match="no question in common"):
        compare_models(base[:4], adapter[4:])


def test_effort():
    found = effort(
        [
            episode(1, right=True, slip=True),
            episode(2, right=False, slip=True),
            episode(3, right=True),
            episode(4, right=True),
        ]
    )
    assert found["recovered"] == 0.5
    assert found["turns"] == 1.5
    assert found["cost_per_correct"] == pytest.approx(2.0 / 3)
    assert effort([episode(1, right=False)])["cost_per_correct"] is None


def test_one_class_of_question_and_other_prompts_are_said():
    base = [episode(n, right=n > 3, table=n, family="f") for n in range(12)]
    adapter = [episode(n, right=True, table=n, family="f", prompt="q") for n in range(11)]
    notes = compare_models(base, adapter)["notes"]
    assert (
        "all questions have the same template family (f): the result does not cover others" in notes
    )
    assert any("1 answers are left out" in note for note in notes)
    assert any("different prompts" in note for note in notes)
    assert compare_models(*both(5, 2, 9, tables=12))["notes"] == [
        "all questions have the same difficulty (easy): the result does not cover others",
        "all questions have the same type of answer (integer): the result does not cover others",
    ]


def test_of_several_tries_the_lowest_seed_is_paired_and_all_count_in_pass_at_k():
    base = [episode(n, right=False, table=n, seed=s) for n in range(4) for s in (1, 0)]
    adapter = [episode(n, right=s == 1, table=n, seed=s) for n in range(4) for s in (1, 0)]
    found = compare_models(base, adapter)
    assert (found["n"], found["difference"]) == (4, 0.0)
    sampled = found["samples"]
    assert sampled["k"] == 2
    assert sampled["adapter"] == {"pass_at_1": 0.5, "pass_at_k": 1.0}
    assert sampled["base"] == {"pass_at_1": 0.0, "pass_at_k": 0.0}
    assert (sampled["difference"], sampled["low"], sampled["high"]) == (0.5, 0.5, 0.5)
    assert "B: pass@1 0.500, pass@2 1.000" in comparison_lines(found, ("A", "B"))
    assert "samples" not in compare_models(base, adapter[::2])


def test_one_model_alone():
    found = measure_model([episode(n, right=n % 4 > 0, table=n, slip=n == 1) for n in range(20)])
    assert (found["n"], found["right"], found["accuracy"]) == (20, 15, 0.75)
    assert found["interval"] == pytest.approx([0.531, 0.888], abs=1e-3)
    assert found["low"] < 0.75 < found["high"]
    assert found["families"]["f0"] == {"n": 10, "accuracy": 0.5}
    assert model_lines(found)[-1] == "m: 15 of 20 right"
    with pytest.raises(BadData, match="no answer to measure"):
        measure_model([])
