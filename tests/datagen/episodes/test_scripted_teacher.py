import random
from pathlib import Path

from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import table_ref
from datagen.episodes.scripted_teacher import full_style_replies, scripted_teacher, with_hooks
from datagen.judge.compare import judge
from datagen.prompts.render import code_of, opening
from datagen.questions.basic import ask as ask_basic
from datagen.questions.basic import script
from datagen.questions.family import LOOK
from datagen.sandbox import Sandbox
from datagen.tables.table import profile_table
from tests.datagen.questions.test_template import proposals


def test_the_brief_style_is_one_bare_block_a_turn(repairs: Path):
    profile = profile_table(repairs)
    ref = table_ref(profile, repairs.parent)
    questions = ask_basic(profile, count=40, seed=0)
    tasks = [Task(question=q, tables=[ref], paths=[repairs]) for q in questions]
    scripts = scripted_teacher(tasks, seed=0).scripts
    for task in tasks:
        system, user = opening(task.question, [ref])
        replies = scripts[f"{system.content}\0{user.content}"]
        right = f"```python\n{script(task.question)}\n```"
        assert replies in ([right], ["```python\nsubmit(answer)\n```", right])
    assert 0 < sum(len(replies) > 1 for replies in scripts.values()) < 15


def test_the_compact_style_is_the_whole_solution_in_one_block(repairs: Path):
    ref = table_ref(profile_table(repairs), repairs.parent)
    tasks = [
        Task(question=q, tables=[ref], paths=[repairs], style="compact") for q in proposals(repairs)
    ]
    assert any(LOOK in (task.question.code or "") for task in tasks)
    for replies, task in zip(scripted_teacher(tasks, seed=0).scripts.values(), tasks, strict=True):
        whole = (task.question.code or "").replace(LOOK, "")
        assert (code_of(replies[-1]) or "").split() == whole.split()
        assert len(replies) <= 2


def test_the_full_style_speaks_and_slips_now_and_then(repairs: Path):
    ref = table_ref(profile_table(repairs), repairs.parent)
    tasks = [
        Task(question=q, tables=[ref], paths=[repairs], style="full") for q in proposals(repairs)
    ]
    scripts = [*scripted_teacher(tasks, seed=0).scripts.values()]
    assert all(reply.partition("```")[0].strip() for replies in scripts for reply in replies)
    mended = [r for r in scripts if len(r) > 1 and ("misspelt" in r[1] or "spells" in r[1])]
    assert 0 < len(mended) < len(tasks) / 4


def test_full_replies_lead_to_the_truth_with_and_without_a_slip(repairs: Path):
    profile = profile_table(repairs)
    columns = [c.name for c in profile.columns]
    rng = random.Random(0)
    looked = slipped = 0
    with Sandbox({profile.name: (repairs, profile.reading)}) as sandbox:
        for question in proposals(repairs)[:30]:
            for given in (None, columns):
                replies = full_style_replies(question, rng, given)
                with sandbox.episode() as session:
                    results = [session.run(code_of(reply) or "") for reply in replies]
                assert [r.submitted for r in results] == [False] * (len(results) - 1) + [True]
                assert judge(
                    results[-1].answer, question.truth, question.answer_type, question.decimals
                ).correct
                assert results[0].ok == (given is None)
                assert all(r.ok for r in results[1:])
                slipped += not results[0].ok
                if LOOK in (question.code or ""):
                    looked += 1
                    assert results[-2].hooks
                    assert results[-2].stdout
    assert looked
    assert slipped == 30


def test_every_full_reply_is_a_sentence_and_one_block(repairs: Path):
    for question in proposals(repairs):
        for reply in full_style_replies(question, random.Random(1), ["hours", "cost", "site"]):
            said, _, rest = reply.partition("\n\n```python\n")
            assert said.endswith(".")
            assert "```" not in said
            assert rest.endswith("\n```")


def test_a_look_announces_what_it_made_and_from_what():
    code = with_hooks("a = 1\nb, c = a, 2\nd = b + c\n")
    assert code.splitlines()[-5:] == [
        'hook(a, "a", [])',
        "hook(b, \"b\", ['a'])",
        "hook(c, \"c\", ['a'])",
        "hook(d, \"d\", ['b', 'c'])",
        "print(d)",
    ]
