import json
import random
from collections import Counter

from datagen.questions.family import Unasked
from datagen.questions.programs.draw import conditions, draw
from datagen.questions.programs.frame import Frame
from datagen.questions.programs.program import Program, code, from_json, shape, to_json


def some(table: Frame, count: int, seed: int = 0) -> list[Program]:
    rng, used = random.Random(seed), Counter[str]()
    found: list[Program] = []
    while len(found) < count:
        try:
            found.append(draw(table, rng, used))
        except Unasked:
            continue
        used.update(filled.step.name for filled in found[-1])
    return found


def test_a_program_is_made_again_from_its_json(table, alone):
    for frame, count in ((table, 40), (alone, 160)):
        for program in some(frame, count):
            again = from_json(frame, json.loads(json.dumps(to_json(program))))
            assert (to_json(again), code(again)) == (to_json(program), code(program))


def test_shapes_name_steps_and_not_their_values(alone):
    shapes = {shape(program) for program in some(alone, 150)}
    assert len(shapes) > 90
    assert all(found.replace("_", "").replace(".", "").isalpha() for found in shapes)


def test_no_column_has_two_conditions(alone):
    for program in some(alone, 200, seed=3):
        columns = [one.columns[0] for filled in program for one in conditions(filled)]
        assert len(columns) == len(set(columns))


def test_every_program_of_several_tables_joins_them(table):
    assert all(program[0].step.name == "join" for program in some(table, 20))
