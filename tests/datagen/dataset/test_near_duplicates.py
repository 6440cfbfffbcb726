from itertools import product

import pytest
from datasketch import MinHash, MinHashLSH

from datagen.dataset.near_duplicates import PERMUTATIONS, SIMILAR, fingerprints, near_duplicates
from datagen.episodes.solution_shape import solution_shape
from tests.datagen.dataset.test_split import MEAN, episode


@pytest.mark.parametrize(
    ("text", "code", "near"),
    [
        (
            'What is the mean "age" of all the  passengers?',
            "x = df['age'].mean()\nsubmit(x)",
            False,
        ),
        ('what is the mean "age" of all passengers', MEAN, True),
        ('What is the mean "age" of all passengers?', 'submit( df["age"] . mean() ) # so', True),
        ('What is the mean "age" of all passengers?', 'submit(df["fare"].mean())', False),
        ("How old are the people in this list on average, please?", MEAN, False),
    ],
)
def test_near_duplicates_read_alike_and_are_solved_alike(text: str, code: str, near: bool):
    of = fingerprints()
    held = of(episode(2, 0, text='What is the mean "age" of all passengers?', code=MEAN))
    assert near_duplicates([of(episode(1, 0, text=text, code=code))], [held]) == [near]


def test_texts_match_as_in_the_index_of_datasketch():
    """The judge: MinHashLSH.query, with a sketch made anew for each text."""
    texts = [
        f'Of the rows in which "{group}" is "{place}", what is the {word} of "{value}"?'
        for group, place, word, value in product(
            ("city", "cities"), ("Ulm", "Bonn"), ("mean", "median"), ("price", "prices", "income")
        )
    ]
    of = fingerprints()
    index, sketches = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS), []
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=PERMUTATIONS)
        pieces = {text.lower()[at : at + 5].encode() for at in range(len(text) - 4)}
        sketch.update_batch(pieces)
        index.insert(number, sketch)
        sketches.append(sketch)
    found = [of(episode(1, n, text=text, code=MEAN)) for n, text in enumerate(texts)]
    matches = [{n for n, near in enumerate(near_duplicates(found, [one])) if near} for one in found]
    assert matches == [{*index.query(sketch)} for sketch in sketches]
    assert 1 < sum(map(len, matches)) / len(texts) < len(texts)


@pytest.mark.parametrize(
    ("code", "other", "same"),
    [
        ("x = 1\nsubmit(x)", "answer = 1  # one\nsubmit( answer )", True),
        ("a = 1\nb = a\nsubmit(b)", "b = 1\na = b\nsubmit(a)", True),
        ("a = 1\nb = 2\nsubmit(a)", "a = 1\nb = 2\nsubmit(b)", False),
        ("submit(1)", "submit(1.0)", False),
        ("submit('1')", 'submit("1")', True),
        ("submit([1, [2]])", "submit([1, 2])", False),
        ("submit(df.a)", "submit(df.b)", False),
        ("f(a=1)", "f(b=1)", False),
        ("submit(x for x in y)", "submit(z for z in y)", True),
        ("def f(:", "def g(:", False),
    ],
)
def test_solutions_of_one_shape_differ_in_spelling_only(code: str, other: str, same: bool):
    assert (solution_shape(code) == solution_shape(other)) == same


def test_code_nested_too_deep_for_recursion_has_a_shape():
    assert solution_shape("+".join("1" * 3000)) != solution_shape("+".join("1" * 3001))
