import pytest

from datagen.questions.difficulty import difficulty, operations


@pytest.mark.parametrize(
    ("code", "count", "name"),
    [
        ('answer = df["a"].mean()\nsubmit(round(float(answer), 2))', 1, "easy"),
        ('submit(int((df["a"] > 3).sum()))', 2, "easy"),
        ('submit(df.groupby("a")["b"].mean().idxmax())', 4, "medium"),
        ('submit(stats.kruskal(*[x for _, x in df.dropna().groupby("a")]).pvalue)', 6, "hard"),
        ("submit(a + b - c * d / e % f - g - h - i - j - k)", 10, "very hard"),
    ],
)
def test_operations_decide(code: str, count: int, name: str):
    assert operations(code) == count
    assert difficulty(code) == name


def test_another_table_makes_it_harder():
    code = "submit(df.a.nunique() + other.b.nunique())"
    assert (difficulty(code), difficulty(code, tables=2)) == ("medium", "medium")
    assert difficulty(code, tables=3) == "hard"
