from decimal import Decimal

from datagen.episode import Audit, Episode, Provenance, Question, Trace, Verdict
from datagen.episodes.counts import EpisodeCounts, money
from datagen.models.paid_api.status import Status


def episode(source, difficulty, *, verified, category=None, known=True, attempts=1, audit=None):
    return Episode(
        id="e",
        question=Question(
            id="q",
            text="?",
            answer_type="integer",
            source=source,
            family="f",
            difficulty=difficulty,
            known=known,
        ),
        tables=[],
        traces=[],
        verdict=Verdict(verified=verified, rule="integer", category=category, attempts=attempts),
        provenance=Provenance(
            model="m", prompt_sha256="", sandbox_level="full", seed=0, versions={}
        ),
        audit=audit,
    )


def status(spent="0.5", limit="5", uncertain="0"):
    return Status(
        answered=4,
        replayed=1,
        retries=2,
        in_flight=3,
        waiting=7,
        spent=Decimal(spent),
        uncertain=Decimal(uncertain),
        reserved=Decimal(0),
        limit=Decimal(limit) if limit else None,
        per_minute=60.4,
    )


def filled() -> EpisodeCounts:
    tally = EpisodeCounts()
    tally.add(episode("template", "easy", verified=True))
    tally.add(episode("template", "very hard", verified=False, category="wrong"))
    trace = Trace(opening=[], turns=[])
    audit = Audit(model="b", trace=trace, agrees=False)
    tally.add(episode("proposed", "easy", verified=True, known=False, attempts=3, audit=audit))
    tally.add(
        episode("proposed", "hard", verified=False, category="ambiguous", known=False, attempts=5)
    )
    return tally


def test_yields_are_by_source_and_by_difficulty_in_their_order():
    tally = filled()
    assert tally.right == 2
    assert tally.yields(0) == ["proposed 50%", "template 50%"]
    assert tally.yields(1) == ["easy 100%", "hard 0%", "very hard 0%"]
    assert tally.counts()["by"][0] == {
        "source": "proposed",
        "difficulty": "easy",
        "episodes": 1,
        "verified": 1,
    }


def test_the_table_says_all_that_became_of_the_questions():
    lines = filled().table()
    assert [line.split() for line in lines[1:6]] == [
        ["proposed", "easy", "1", "1", "100%"],
        ["proposed", "hard", "1", "0", "0%"],
        ["template", "easy", "1", "1", "100%"],
        ["template", "very", "hard", "1", "0", "0%"],
        ["all", "4", "2", "50%"],
    ]
    assert lines[6:] == [
        "rejected: wrong 1, ambiguous 1",
        "mean attempts per question without a known answer: 4.00",
        "audit: a second model disagrees with 1 of 1 verified episodes",
    ]


def test_money_is_what_was_spent_what_may_be_and_what_it_will_come_to():
    assert money(status(), 4, 40) == "spent: $0.5000 of at most $5.00, projected $5.00"
    assert money(status(limit=None), 4, 4) == "spent: $0.5000"
    assert "($0.2000 of it estimated: the provider did not confirm the cost)" in money(
        status(uncertain="0.2"), 0, 9
    )


def test_the_live_lines():
    assert EpisodeCounts().live(None, 3) == []
    lines = filled().live(status(), 40)
    assert lines[0].startswith("yield: proposed 50%, template 50%, easy 100%")
    assert (
        lines[2] == "calls: 3 in flight, 7 waiting, 60/min, 2 retried, 1 answered from the ledger"
    )


def test_attempts_without_a_usable_reply_are_counted_by_kind_and_refused_questions_named():
    tally = EpisodeCounts()
    for failure in ("length: cut at 9 tokens", "no text: tool calls and no text", "refused: no"):
        traces = [Trace(opening=[], turns=[], failure=failure)] * 7
        for trace in traces:
            one = episode("template", "easy", verified=False, category="no submit")
            tally.add(one.model_copy(update={"traces": [trace]}))
    lines = tally.table()
    assert "attempts without a usable reply: length 7, tool calls and no text 7, refused 7" in lines
    assert lines.count("dropped: ? (refused: no)") == 5
    assert "dropped: 2 more questions that the API refused" in lines
