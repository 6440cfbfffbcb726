import json
import random
from collections import Counter

from datagen.questions.procedural.draw import conditions, draw
from datagen.questions.procedural.program import Program, from_json, to_json
from datagen.questions.procedural.state import Refused, Rows


def some(table: Rows, count: int, seed: int = 0) -> list[Program]:
    rng, used = random.Random(seed), Counter[str]()
    found: list[Program] = []
    while len(found) < count:
        try:
            found.append(draw(table, rng, used)[0])
        except Refused:
            continue
        used.update(step.op for step in found[-1].steps)
    return found


def test_a_program_is_made_again_from_its_json(table, alone):
    for program in [*some(table, 40), *some(alone, 160)]:
        assert from_json(json.loads(json.dumps(to_json(program)))) == program


def test_shapes_name_operators_and_not_their_parameters(alone):
    programs = some(alone, 150)
    shapes = {program.shape for program in programs}
    assert len(shapes) > 90
    assert all(shape.replace("_", "").replace(".", "").isalpha() for shape in shapes)


def test_no_column_has_two_conditions(alone):
    for program in some(alone, 200, seed=3):
        columns = [found.column for step in program.steps for found in conditions(step)]
        assert len(columns) == len(set(columns))


def test_every_program_of_several_tables_joins_them(table):
    assert all(program.steps[0].op == "join" for program in some(table, 20))
