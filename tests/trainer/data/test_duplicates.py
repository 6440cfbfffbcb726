from datasketch import MinHash

from trainer.contract.rows import Row
from trainer.data import duplicates

LONG = (
    "what is the mean of price for all houses that were sold in the year {}, by city and street? "
    "Leave out those without a garden, and give two decimals; a table of city, street and mean will do."
)


def row(line, question, answer="submit(1)", *, system="be brief", weight=1):
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, "weight": weight},
    ]
    return Row(messages, None, line)


def test_rows_that_say_the_same_are_grouped():
    rows = [row(1, "a"), row(2, "b"), row(3, "a"), row(5, "a", weight=0), row(6, "a", "other")]
    assert duplicates.same(rows) == [[1, 3, 5]]
    assert duplicates.same(rows[:2]) == []


def test_held_out_rows_that_are_trained_on_are_found():
    rows = [row(1, "a"), row(2, "b")]
    assert duplicates.leaked([row(1, "c"), row(2, "b")], rows) == [(2, 2)]
    assert duplicates.leaked([row(1, "b", system="other")], rows) == []


def test_nearly_the_same_is_found_once_and_the_same_is_left_to_others():
    rows = [row(1, LONG.format(1999)), row(2, "quite another"), row(3, LONG.format(1998))]
    rows += [row(4, LONG.format(1999))]
    assert duplicates.near(rows) == [(3, 1)]
    assert duplicates.near([row(7, LONG.format(1997))], rows) == [(7, 1)]
    assert duplicates.near([row(7, LONG.format(1999))], rows) == []


def test_a_common_system_message_makes_no_twins():
    system = "The table has columns city, year and price. " * 50
    rows = [row(n, text, system=system) for n, text in enumerate(["mean?", "all cities", ""])]
    assert duplicates.near(rows) == []


def test_each_of_many_that_are_alike_is_compared_with_the_first_alone(monkeypatch):
    asked = []
    compare = MinHash.jaccard

    def jaccard(one, other):
        asked.append(other)
        return compare(one, other)

    monkeypatch.setattr(MinHash, "jaccard", jaccard)
    found = duplicates.near([row(n, LONG.format(n)) for n in range(1000, 1200)])
    assert len(found) > 100
    assert len(asked) < 2000  # of 19,900 pairs


def test_other_questions_about_one_table_are_no_duplicates():
    """The tutorial's rows: a long description of the table, then a question."""
    table = "The table has columns city, year and price.\n" * 50
    asked = ["What is the mean of price?", "How many cities are in it?", "Which year is the last?"]
    answers = [
        'submit(df["price"].mean())',
        'submit(df["city"].nunique())',
        'submit(df["year"].max())',
    ]
    rows = [
        row(n, f"{table}\n\n{question}", answer)
        for n, (question, answer) in enumerate(zip(asked, answers, strict=True))
    ]
    rows.append(row(9, f"{table} And more.\n\n{asked[0]}", answers[0]))
    assert duplicates.near(rows) == [(9, 0)]


def test_one_answer_to_many_questions_is_no_duplicate():
    refusal = "I cannot answer that from the table: it has no such column. " * 5
    asked = ["Who is the mayor?", "What was the weather?", "When do shops open?"]
    assert duplicates.near([row(n, text, refusal) for n, text in enumerate(asked)]) == []
