"""More conversations than processes: nothing of it is seen, except in cells that cannot be repeated."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datagen.sandbox import CellResult, Sandbox
from datagen.sandbox.slots import LOST, Slots, SlotSession


class Session:
    """Variables in a dict; `count` is that of all cells ever run, which no cell can repeat."""

    alive = most = count = 0
    lock = threading.Lock()

    def __enter__(self):
        with Session.lock:
            Session.alive += 1
            Session.most = max(Session.most, Session.alive)
        self.names = {}
        return self

    def __exit__(self, *_):
        with Session.lock:
            Session.alive -= 1

    def run(self, code):
        Session.count += 1
        if code == "hang":
            self.names.clear()
            return CellResult(ok=False, timed_out=True)
        said: list[object] = []
        try:
            exec(code, {"say": said.append, "count": Session.count}, self.names)
        except NameError as error:
            return CellResult(ok=False, stderr=str(error))
        return CellResult(ok=True, stdout="".join(map(str, said)))


class Box:
    def episode(self):
        return Session()


@pytest.fixture(autouse=True)
def _none():
    Session.alive = Session.most = Session.count = 0


def session(slots: Slots) -> SlotSession:
    return SlotSession(Box(), slots)  # type: ignore[arg-type]


def test_many_conversations_share_few_processes_and_keep_their_variables():
    slots, orders = Slots(4), random.Random(0)
    with ThreadPoolExecutor(3) as pool:
        open_ones = [session(slots) for _ in range(30)]
        list(pool.map(lambda n: open_ones[n].run(f"x = {n}"), range(30)))
        for _ in range(3):
            order = orders.sample(range(30), 30)
            list(pool.map(lambda n: open_ones[n].run("x = x + 100"), order))
        found = list(pool.map(lambda n: open_ones[n].run("say(x)").stdout, range(30)))
    assert found == [str(n + 300) for n in range(30)]
    assert Session.most <= 4
    for one in open_ones:
        one.__exit__(None, None, None)
    assert Session.alive == 0
    with session(slots) as late:  # the places are free again
        late.run("x = 1")
    assert Session.alive == 0


def test_a_place_is_only_taken_from_one_that_waits_longest():
    slots = Slots(2)
    first, second, third = (session(slots) for _ in range(3))
    for one in (first, second, first, third):
        one.run("x = 1")
    ran = Session.count
    first.run("say(x)")
    assert Session.count == ran + 1
    second.run("say(x)")
    assert Session.count == ran + 3  # its first cell again


def test_what_does_otherwise_when_repeated_is_not_passed_off_as_the_same():
    slots = Slots(1)
    one, other = session(slots), session(slots)
    one.run("x = count; say(x)")
    other.run("x = 1")
    assert one.run("say(x)") == CellResult(ok=False, stderr=LOST)
    assert one.run("x = 5; say(x)").stdout == "5"


def test_cells_before_one_that_hung_are_not_repeated():
    slots = Slots(1)
    one, other = session(slots), session(slots)
    for code in ("x = 1", "hang", "y = 2"):
        one.run(code)
    other.run("x = 1")
    assert one.run("say(y)").stdout == "2"
    other.run("x = 1")
    assert "not defined" in one.run("say(x)").stderr


def test_over_the_real_sandbox(shop: Path):
    slots = Slots(1)
    with (
        Sandbox({"shop": shop}) as sandbox,
        SlotSession(sandbox, slots) as one,
        SlotSession(sandbox, slots) as two,
    ):
        one.run("df['twice'] = df['amount'] * 2")
        one.run("import numpy as np; r = np.random.rand(); print(r)")
        two.run("df.drop(columns='amount', inplace=True)")
        result = one.run("submit([float(df['twice'].sum()), r > 0])")
    assert result.answer == [207.5, True]
