"""The supervisor in virtual time: a world whose clock moves when it waits, and a scripted trainer."""

import hashlib
import io
import itertools
import json
import signal
import tarfile
from pathlib import Path

import pytest

from trainer import checkpoints
from trainer.contract import events, manifest, pod
from trainer.contract.command import crash_safe_files
from trainer.contract.job import Job
from trainer.pod import supervise as module
from trainer.pod.paths import Places
from trainer.pod.release import Answer
from trainer.pod.sshd import KEY, Door

T0 = 1_800_000_000.0
OK, REFUSED, MAY = Answer(200, "accepted"), Answer(403, "HTTP 403"), Answer(409, "HTTP 409")
ENV = {
    "PATH": "/bin",
    "RUNPOD_API_KEY": "pod-key",
    "RUNPOD_POD_ID": "p1",
    "RUNPOD_DC_ID": "EU",
    "SFT_RUN_ID": "r1",
    "PUBLIC_KEY": "ssh-ed25519 AAAA laptop",
}


def line(type_, **fields):
    return json.dumps({"v": 1, "type": type_, **fields}).encode()


def step(number):
    return line(
        "step", step=number, steps=100, epoch=0.1, loss=1.0, lr=1e-4, tokens=1, trained_tokens=1,
        tokens_per_second=1.0, trained_tokens_per_second=1.0, seconds_left=1.0, memory_bytes=1,
    )  # fmt: skip


class Child:
    """Runs a script of (seconds after the start, line, exit code or thing to do)."""

    def __init__(self, world, script=(), *, on_ask=(), deaf=False):
        self.world = world
        self.script = [(world.time + delay, what) for delay, what in script]
        self.on_ask, self.deaf = on_ask, deaf
        self.code, self.asked, self.killed = None, None, False
        self.said = []

    def _catch_up(self):
        while self.code is None and self.script and self.script[0][0] <= self.world.time:
            _, what = self.script.pop(0)
            if callable(what):
                what = what()
            if isinstance(what, bytes):
                self.said.append(what)
            elif isinstance(what, int):
                self.code = what

    def poll(self):
        self._catch_up()
        return self.code

    def lines(self):
        self._catch_up()
        said, self.said = self.said, []
        return said

    def ask(self):
        if self.asked is None:
            self.asked = self.world.time
            if not self.deaf:
                self.script = [(self.world.time + delay, what) for delay, what in self.on_ask]

    def kill(self):
        self._catch_up()
        if self.code is None:
            self.code, self.killed = -signal.SIGKILL, True


class World:
    """``Outside`` in virtual time. ``trainers`` are called with (world, argv) at each start."""

    def __init__(
        self,
        places,
        *,
        trainers=(),
        salvage=None,
        evaluators=(),
        choosers=(),
        answers=(),
        probes=(),
        lasts=30 * 86400,
    ):
        self.places, self.time, self.stop_asked = places, T0, False
        self.evaluators, self.choosers = list(evaluators), list(choosers)
        self.trainers, self.salvage = list(trainers), salvage
        self.answers, self.probes = list(answers), list(probes)
        self.until = T0 + lasts
        self.said, self.started, self.acts, self.plans = [], [], [], []
        self.gpu = None

    def now(self):
        return self.time

    def at(self, seconds, do):
        self.plans = sorted([*self.plans, (T0 + seconds, do)], key=lambda plan: plan[0])

    def wait(self, seconds, child=None):
        self.time += max(seconds, 0.001)
        while self.plans and self.plans[0][0] <= self.time:
            self.plans.pop(0)[1]()
        assert self.time < self.until, "still there"

    def say(self, text):
        self.said.append(text)

    def gpu_use(self):
        return self.gpu

    def probe(self):
        return self.probes.pop(0) if self.probes else MAY

    def act(self, action):
        self.acts.append((self.time - T0, action))
        answer = self.answers.pop(0) if self.answers else OK
        if answer.done:
            # RunPod ends the container.
            self.plans.insert(0, (self.time, self.stop))
        return answer

    def stop(self):
        self.stop_asked = True

    def start(self, argv, *, env, cwd, log=None, events=False):
        child = self._child([str(word) for word in argv])
        self.started.append((self.time - T0, [str(word) for word in argv], dict(env), child))
        return child

    def _child(self, argv):
        if argv[0] == "ssh-keygen":
            path = Path(argv[argv.index("-f") + 1])
            path.write_text("PRIVATE")
            path.with_name(path.name + ".pub").write_text("ssh-ed25519 HOSTKEY \n")
            return Child(self, [(0, 0)])
        if argv[0] == "trainer":
            if "--salvage" in argv:
                return Child(self, self.salvage or salvaged(self))
            if "--choose" in argv:
                return self.choosers.pop(0)(self)
            return self.trainers.pop(0)(self, argv)
        if argv[0] == "datagen":
            return Child(self, self.evaluators.pop(0))
        return Child(self)

    def of(self, word):
        return [entry for entry in self.started if word in entry[1]]


@pytest.fixture
def places(tmp_path):
    door = Door(tmp_path / "r1" / "ssh", tmp_path / "sft", ("sshd", "-D"))
    return Places(
        tmp_path / "r1", tmp_path / "hf", tmp_path / "secrets", door, ("trainer",), ("datagen",)
    )


def settings(**changes):
    values = {"run_id": "r1", "finish_by": T0 + 7200, "gone_by": T0 + 9000, **changes}
    return pod.PodSettings(**values)


def keep(world, setting=None, env=ENV):
    """One boot, from its start to its end."""
    world.stop_asked = False
    module.supervise(setting or settings(), env, world.places, world)
    return world


def upload(places, content=b'{"messages": []}\n', **job):
    digest = hashlib.sha256(content).hexdigest()
    inbox = places.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / digest).write_bytes(content)
    values = {"data": f"inbox/{digest}", "output": "runs/x", **job}
    (inbox / "job.json").write_text(Job(**values).to_json())


def all_events(places):
    return events.read(places.run / "events.jsonl")[0]


def phases(places):
    return [e.name for e in all_events(places) if isinstance(e, events.Phase)]


def only(places, kind):
    return [e for e in all_events(places) if isinstance(e, kind)]


def checkpoint(places, number):
    folder = places.run / "checkpoints" / f"checkpoint-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    mark = checkpoints.Mark(
        step=number, job={}, job_hash="j", data_sha256="d", template_sha256="t", precision="bf16",
        device="gpu", pass_tokens=1, tokens=1, trained_tokens=1,
    )  # fmt: skip
    checkpoints.write_mark(folder, mark)
    return line("checkpoint", step=number, path=f"checkpoints/checkpoint-{number}")


def result(places, *, complete):
    manifest.Manifest(
        complete=complete, created="", files={}, job_hash="", data_sha256="", base_model="",
        revision=None, template_sha256="", versions={}, device="", precision="", seed=0,
        metrics={}, reload_proof=None,
    ).write(places.run / "manifest.json")  # fmt: skip
    return line("done", manifest="manifest.json")


def salvaged(world):
    return [(5, lambda: result(world.places, complete=False)), (6, 0)]


BEGIN = [(0, line("phase", name="data")), (5, line("phase", name="model"))]
BEGIN += [(60, line("phase", name="train")), (61, step(1))]


def good(world, argv):
    """Two steps, a checkpoint, and a whole result after five minutes."""
    return Child(
        world,
        [
            *BEGIN,
            (200, lambda: checkpoint(world.places, 2)),
            (250, line("phase", name="save")),
            (300, lambda: result(world.places, complete=True)),
            (301, 0),
        ],
    )


def endless(world, argv):
    """A step every minute; saves when it is asked to end."""
    steps = [(60 + 60 * n, step(n)) for n in range(1, 2000)]
    saves = [
        (5, lambda: checkpoint(world.places, 9)),
        (6, line("failed", cause="i", exit_code=130)),
    ]
    first = (90, lambda: checkpoint(world.places, 1))
    return Child(
        world, sorted([*BEGIN, *steps, first], key=lambda x: x[0]), on_ask=[*saves, (7, 130)]
    )


def test_the_whole_story(places):
    world = World(places, trainers=[good])
    world.at(30, lambda: upload(places))
    keep(world)
    assert phases(places) == [
        *("booted", "probed", "waiting", "accepted", "running"),
        *("data", "model", "train", "save", "ready", "released"),
    ]
    assert [e.seq for e in all_events(places)] == list(range(len(all_events(places))))
    assert isinstance(all_events(places)[-1], events.Released)
    assert not only(places, events.Failed)
    ((when, action),) = world.acts
    assert action == "stop"
    assert 331 + 900 <= when < 331 + 905
    job = Job.from_json(places.root / "job.json")
    assert job.output == "run"
    assert "sft-launch host-key run=r1 boot=1 ssh-ed25519 HOSTKEY" in world.said


def test_children_see_no_key_and_no_setting(places):
    world = World(places, trainers=[good])
    upload(places)
    places.secrets.mkdir()
    (places.secrets / "HF_TOKEN").write_text("hf_secret")
    keep(world)
    for _, argv, env, _ in world.started:
        mine = {k for k in env if k.startswith(("RUNPOD_", "SFT_"))}
        guard = "trainer.pod.release" in argv
        assert mine == ({"RUNPOD_API_KEY", "RUNPOD_POD_ID"} if guard else set())
        assert "PUBLIC_KEY" not in env
        assert "hf_secret" not in env.values()
    ((_, _, env, _),) = world.of("trainer")
    assert env["HF_TOKEN_PATH"] == str(places.secrets / "HF_TOKEN")
    assert env["HF_HOME"] == str(places.hf)


def test_the_guard_is_first_and_holds_the_last_instant(places):
    world = keep(World(places))
    _, argv, _, _ = world.started[0]
    assert argv[argv.index("--at") + 1] == str(T0 + 9000)


def test_a_guard_that_ends_is_started_again(places):
    world = World(places)
    world.at(100, lambda: setattr(world.of("trainer.pod.release")[0][3], "code", 1))
    keep(world)
    assert len(world.of("trainer.pod.release")) == 2


def test_sshd_is_started_again_and_enters_with_one_key(places):
    world = World(places)
    world.at(100, lambda: setattr(world.of("sshd")[0][3], "code", 255))
    keep(world)
    first, second = (when for when, *_ in world.of("sshd"))
    assert first < 1
    assert 100 <= second < 106
    assert (places.door.used / "authorized_keys").read_text() == "ssh-ed25519 AAAA laptop\n"
    key = places.door.used / KEY
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("PRIVATE", 0o600)
    assert "sshd ended" in only(places, events.Warning)[0].message


def test_without_a_job_the_pod_goes(places):
    world = keep(World(places))
    ((when, action),) = world.acts
    assert 900 <= when < 905
    assert action == "terminate"
    assert only(places, events.Released)[0].reason == "no-job"


def test_a_restart_does_not_give_more_time_for_the_upload(places):
    world = World(places)
    world.at(600, world.stop)
    keep(world)
    (places.root / "released").unlink()
    keep(world)
    assert 900 <= world.acts[0][0] < 910


def test_the_host_key_stays(places):
    world = World(places)
    world.at(10, world.stop)
    keep(world)
    keep(world)
    assert len(world.of("ssh-keygen")) == 1
    lines = [pod.parse_host_key(text, "r1") for text in world.said if "host-key" in text]
    assert lines == [(1, "ssh-ed25519 HOSTKEY"), (2, "ssh-ed25519 HOSTKEY")]


def test_a_wrong_upload_is_turned_down_and_another_taken(places):
    world = World(places, trainers=[good])

    def wrong():
        upload(places)
        (bad,) = [p for p in (places.root / "inbox").iterdir() if len(p.name) == 64]
        bad.write_bytes(b"torn")
        world.at(15, lambda: gone.append(not bad.exists()))

    gone: list[bool] = []
    world.at(10, wrong)
    world.at(20, lambda: (places.root / "inbox" / "job.json").write_text("{"))
    world.at(60, lambda: upload(places))
    keep(world)
    assert gone == [True]
    told = [e.message for e in only(places, events.Warning)]
    assert len(told) == 2
    assert "content" in told[0]
    assert "not JSON" in told[1]
    assert (places.root / "inbox" / "job.rejected.json").exists()
    assert phases(places).count("accepted") == 1


@pytest.mark.parametrize("name", ["/etc/passwd", "rows.jsonl", "../r2/inbox/" + "0" * 64])
def test_a_job_names_uploads_only(places, name):
    world = World(places)
    upload(places, data=name)
    keep(world)
    assert "not the name of an upload" in only(places, events.Warning)[0].message
    assert not world.of("trainer")


def test_finish_by_saves_and_makes_a_result(places):
    world = World(places, trainers=[endless])
    upload(places)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 7200 <= trainer.asked - T0 < 7201
    assert not trainer.killed
    (failed,) = only(places, events.Failed)
    assert "the time is up at step" in failed.cause
    assert not manifest.load(places.run / "manifest.json").complete
    assert phases(places)[-4:] == ["saving", "saving", "ready", "released"]
    # Ready until the last instant, which comes before the grace has passed.
    ((when, action),) = world.acts
    assert action == "stop"
    assert 7200 + 900 <= when < 7200 + 960


def test_finish_by_lets_a_run_that_is_saving_end(places):
    def late(world, argv):
        begin = [*BEGIN, (7150, line("phase", name="proof"))]
        return Child(
            world,
            [
                *begin,
                (7500, lambda: result(world.places, complete=True)),
                (7501, 0),
            ],
        )

    world = World(places, trainers=[late])
    upload(places)
    keep(world, settings(limits=pod.Limits(no_step=8000, idle_gpu=8000)))
    assert not only(places, events.Failed)
    assert world.of("trainer")[0][3].asked is None


def test_gone_by_holds_when_nothing_listens(places):
    def deaf(world, argv):
        child = endless(world, argv)
        child.deaf = True
        return child

    world = World(places, trainers=[deaf], salvage=[(10**9, 0)])
    upload(places)
    keep(world, settings(limits=pod.Limits(load=10**6)))
    ((when, action),) = world.acts
    assert when < 9000
    assert action == "stop"
    assert all(
        child.code is not None for _, argv, _, child in world.started if argv[0] == "trainer"
    )
    assert only(places, events.Released)[0].reason == "deadline"


@pytest.mark.parametrize(("complete", "action"), [(True, "stop"), (False, "terminate")])
def test_at_the_deadline_only_what_is_not_whole_is_deleted(places, complete, action):
    def ends(world, argv):
        return Child(
            world, [*BEGIN, (90, lambda: result(world.places, complete=complete)), (91, 0)]
        )

    world = World(places, trainers=[ends] * 3)
    upload(places)
    keep(world, settings(grace_seconds=10**6, on_deadline="delete"))
    assert world.acts[0][1] == action
    assert 8990 <= world.acts[0][0] < 9000


def test_a_trainer_that_dies_without_a_word_is_resumed(places):
    def dies(world, argv):
        return Child(world, [*BEGIN, (90, lambda: checkpoint(world.places, 1)), (100, -9)])

    world = World(places, trainers=[dies, good])
    upload(places)
    keep(world)
    first, second = world.of("trainer")
    assert "--resume" not in first[1]
    assert "--resume" in second[1]
    # By then the weights were there, and a token may not be.
    assert ("HF_HUB_OFFLINE" in first[2], second[2]["HF_HUB_OFFLINE"]) == (False, "1")
    assert "SIGKILL" in only(places, events.Warning)[0].message
    assert not only(places, events.Failed)
    assert manifest.load(places.run / "manifest.json").complete


def test_the_third_death_ends_the_run_and_saves_it(places):
    def dies(world, argv):
        return Child(world, [*BEGIN, (90, lambda: checkpoint(world.places, 1)), (100, -9)])

    world = World(places, trainers=[dies] * 3)
    upload(places)
    keep(world)
    assert len(world.of("trainer")) == 4
    assert "3 times" in only(places, events.Failed)[0].cause
    assert not manifest.load(places.run / "manifest.json").complete


def test_a_trainer_that_fails_is_not_started_again(places):
    def fails(world, argv):
        nan = line("failed", cause="the loss is nan", exit_code=9)
        return Child(
            world, [*BEGIN, (90, lambda: checkpoint(world.places, 1)), (99, nan), (100, 9)]
        )

    world = World(places, trainers=[fails])
    upload(places)
    keep(world)
    assert [argv[-1] for _, argv, _, _ in world.of("trainer")][1:] == ["--salvage"]
    (failed,) = only(places, events.Failed)
    assert failed.cause == "the loss is nan"
    assert world.acts[0][1] == "stop"


def hangs_in(phase):
    def trainer(world, argv):
        child = endless(world, argv)
        child.script = [(world.time + 1, line("phase", name=phase))]
        return child

    return trainer


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [("data", 1800), ("model", 2700), ("train", 900), ("save", 900), ("proof", 900)],
)
def test_a_phase_that_takes_too_long_is_ended(places, phase, seconds):
    world = World(places, trainers=[hangs_in(phase)])
    upload(places)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert seconds < trainer.asked - T0 < seconds + 10
    assert "stalled" in only(places, events.Failed)[0].cause


def test_a_gpu_that_idles_ends_the_run_and_one_that_works_does_not(places):
    world = World(places, trainers=[endless])
    upload(places)
    world.gpu = 80
    world.at(2000, lambda: setattr(world, "gpu", 0))
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 2870 < trainer.asked - T0 < 2960
    assert "GPU has been idle" in only(places, events.Failed)[0].cause


def test_a_trainer_that_does_not_listen_is_killed(places):
    def deaf(world, argv):
        child = hangs_in("train")(world, argv)
        child.deaf = True
        return child

    world = World(places, trainers=[deaf])
    upload(places)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert trainer.killed
    assert "ready" in phases(places)


def test_a_container_restart_goes_on_with_the_same_instants(places):
    world = World(places, trainers=[endless, endless])
    upload(places)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    world.time += 20
    keep(world)
    assert phases(places).count("accepted") == 1
    assert [a for _, a, _, _ in world.of("trainer")][1][-1] == "--resume"
    assert {argv[argv.index("--at") + 1] for _, argv, _, _ in world.of("trainer.pod.release")} == {
        str(T0 + 9000)
    }
    assert 7200 <= world.of("trainer")[1][3].asked - T0 < 7201
    seqs = [e.seq for e in all_events(places)]
    assert seqs == list(range(len(seqs)))


def test_containers_that_restart_without_progress_end_the_run(places):
    world = World(places, trainers=[hangs_in("train")] * 10)
    upload(places)
    for number in range(1, 5):
        world.at(50 * number, lambda: (_ for _ in ()).throw(MemoryError))
    for _ in range(4):
        with pytest.raises(MemoryError):
            keep(world)
    keep(world)
    assert len(world.of("trainer")) == 4
    assert "restart loop" in only(places, events.Failed)[0].cause


def test_a_restart_while_waiting_to_be_fetched_does_not_begin_a_new_grace(places):
    world = World(places, trainers=[good])
    upload(places)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    keep(world)
    assert 1200 < world.acts[0][0] < 1210
    assert len(world.of("trainer")) == 1


def test_a_pod_that_is_started_again_is_ready_and_stops_again(places):
    world = World(places, trainers=[good])
    upload(places)
    keep(world)
    world.time = T0 + 86400
    keep(world)
    assert phases(places)[-4:] == ["booted", "probed", "ready", "released"]
    assert 86400 + 900 <= world.acts[1][0] < 86400 + 910
    at = world.of("trainer.pod.release")[-1][1]
    assert float(at[at.index("--at") + 1]) == pytest.approx(T0 + 86400 + 1800)


def test_a_pod_that_was_stopped_by_others_and_started_late_saves_what_there_is(places):
    world = World(places, trainers=[endless])
    upload(places)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    world.time = T0 + 86400
    keep(world)
    assert not manifest.load(places.run / "manifest.json").complete
    assert "ready" in phases(places)
    assert 86400 + 900 <= world.acts[0][0] < 86400 + 1000


def test_a_stop_from_outside_saves(places):
    world = World(places, trainers=[endless])
    upload(places)
    world.at(300, world.stop)
    keep(world)
    assert (places.run / "checkpoints" / "checkpoint-9").exists()
    assert not world.acts
    assert not only(places, events.Failed)


def test_a_key_that_may_not_act_is_told_and_the_pod_keeps_still(places):
    world = World(places, probes=[REFUSED], answers=[REFUSED] * 20, lasts=900 + 20 * 310)
    keep(world)
    probed = next(e for e in all_events(places) if getattr(e, "name", "") == "probed")
    assert probed.detail.startswith(pod.MAY_NOT_ACT)
    told = [text for text in world.said if "STILL BILLED" in text]
    assert 15 <= len(told) <= 20
    times = [when for when, action in world.acts if action == "stop"]
    assert all(later - sooner >= 300 for sooner, later in itertools.pairwise(times))


def test_a_probe_without_an_answer_is_tried_again(places):
    keep(World(places, probes=[Answer(None, "timed out"), MAY]))
    probed = next(e for e in all_events(places) if getattr(e, "name", "") == "probed")
    assert probed.detail == pod.MAY_ACT


def test_a_full_disk_is_told(places, monkeypatch):
    real, full = crash_safe_files.append, [True]

    def append(file, lines, **how):
        if full[0] and b'"phase"' in lines:
            raise OSError(28, "No space left on device")
        return real(file, lines, **how)

    monkeypatch.setattr(events, "append", append)
    world = World(places)
    world.at(600, lambda: full.__setitem__(0, False))
    keep(world)
    assert phases(places) == ["booted", "probed", "waiting", "released"]
    assert not (places.root / "ballast").exists()
    assert any("disk is full" in text for text in world.said)


def test_another_pod_on_the_same_volume_goes_on(places):
    world = World(places, trainers=[endless, good])
    upload(places)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    (places.root / "inbox" / "stop").touch()
    world.time += 20000
    begun = world.time
    world.at(begun + 30 - T0, lambda: upload(places))
    keep(
        world,
        settings(finish_by=begun + 7200, gone_by=begun + 9000),
        ENV | {"RUNPOD_POD_ID": "p2"},
    )
    assert manifest.load(places.run / "manifest.json").complete
    assert world.of("trainer")[1][1][-1] == "--resume"
    assert phases(places).count("accepted") == 2


def test_a_trainer_that_ends_well_when_it_is_cut_is_done(places):
    def nearly(world, argv):
        child = endless(world, argv)
        child.on_ask = [(9, lambda: result(world.places, complete=True)), (10, 0)]
        return child

    world = World(places, trainers=[nearly])
    upload(places)
    keep(world)
    assert not only(places, events.Failed)
    assert "ready" in phases(places)


def test_faults_of_our_own_do_not_outlast_the_deadline(places):
    places.root.parent.mkdir(exist_ok=True)
    places.root.write_text("no folder")
    world = World(places, answers=[Answer(500, "HTTP 500"), REFUSED, OK])
    module.keep(settings(), ENV, places, world)
    assert [action for _, action in world.acts] == ["stop"] * 3
    assert 9000 <= world.acts[0][0] < 9001
    assert any("Traceback" in text for text in world.said)


def test_a_fault_of_our_own_is_survived(places):
    world = World(places, trainers=[endless, good])
    upload(places)
    world.at(300, lambda: (_ for _ in ()).throw(MemoryError))
    module.keep(settings(), ENV, places, world)
    assert manifest.load(places.run / "manifest.json").complete
    assert world.of("trainer")[0][3].killed
    assert world.of("trainer.pod.release")[0][3].killed


def test_a_pod_that_is_started_again_at_once_has_its_grace_too(places):
    world = World(places, trainers=[good])
    upload(places)
    keep(world)
    first = world.acts[0][0]
    world.time += 60
    keep(world)
    assert world.acts[1][0] >= first + 60 + 900


def test_containers_that_restart_after_progress_go_on(places):
    world = World(places, trainers=[endless] * 6 + [good])
    upload(places)
    for number in range(1, 7):
        world.at(200 * number, lambda: (_ for _ in ()).throw(MemoryError))
    for _ in range(6):
        with pytest.raises(MemoryError):
            keep(world)
    keep(world)
    assert not only(places, events.Failed)
    assert manifest.load(places.run / "manifest.json").complete


def test_no_job_is_waited_for_beyond_finish_by(places):
    world = keep(World(places), settings(finish_by=T0 + 100, gone_by=T0 + 5000))
    assert 100 <= world.acts[0][0] < 105


def test_a_stop_in_the_inbox_saves_and_ends_the_training(places):
    world = World(places, trainers=[endless])
    upload(places)
    world.at(300, (places.root / "inbox" / "stop").touch)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 300 <= trainer.asked - T0 < 301
    (failed,) = only(places, events.Failed)
    assert (failed.cause, failed.exit_code) == ("stopped by hand", 130)
    assert not manifest.load(places.run / "manifest.json").complete
    assert phases(places)[-2:] == ["ready", "released"]


def test_a_trainer_killed_after_a_stop_is_not_started_again(places):
    def killed(world, argv):
        return Child(world, [*BEGIN, (300, -9)])

    world = World(places, trainers=[killed])
    upload(places)
    world.at(299.9, (places.root / "inbox" / "stop").touch)
    keep(world)
    assert len(world.of("trainer")) == 1
    assert only(places, events.Failed)[0].exit_code == 130


CSV = b"a,b\n1,2\n"


def upload_to_evaluate(places, *, tables=True):
    """A job with episodes about a table that lies beside their folder at home."""
    sha = hashlib.sha256(CSV).hexdigest()
    text = json.dumps({"tables": [{"path": "../tables/t.csv", "sha256": sha}]}) + "\n"
    inbox = places.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    if tables:
        (inbox / sha).write_bytes(CSV)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (inbox / digest).write_text(text)
    upload(places, evaluate=f"inbox/{digest}")


def compared(places):
    """What datagen writes in the end."""

    def write():
        (places.run / "comparison.json").write_text('{"n": 4, "base": 0.25, "adapter": 0.75}')

    return write


def complain(places):
    def write():
        with (places.run / "train.log").open("a") as log:
            log.write("error: the sandbox cannot isolate\n  -> say so\n")

    return write


def test_what_the_evaluation_says_meanwhile_is_passed_on(places):
    said = events.Answers(label="base", questions=4, answered=2, right=1).model_dump_json().encode()
    world = World(
        places, trainers=[good], evaluators=[[(5, said), (50, compared(places)), (51, 0)]]
    )
    upload_to_evaluate(places)
    keep(world)
    assert phases(places)[-3:] == ["evaluated", "ready", "released"]
    (found,) = [e for e in all_events(places) if isinstance(e, events.Answers)]
    assert (found.answered, found.questions) == (2, 4)


def test_the_evaluation_is_the_last_phase_with_its_tables_where_they_are_named(places):
    world = World(places, trainers=[good], evaluators=[[(50, compared(places)), (51, 0)]])
    upload_to_evaluate(places)
    keep(world)
    assert phases(places)[-5:] == ["save", "evaluate", "evaluated", "ready", "released"]
    told = next(e for e in all_events(places) if getattr(e, "name", "") == "evaluated")
    assert told.detail == "base 0.250, adapter 0.750, 4 questions"
    ((_, argv, env, _),) = world.of("datagen")
    assert argv[:3] == ["datagen", "--model", "run"]
    assert argv[5:] == ["--out", "run"]
    episodes = places.root / argv[4]
    assert (episodes.parent / "../tables/t.csv").resolve().read_bytes() == CSV
    assert not [k for k in env if k.startswith(("RUNPOD_", "SFT_"))]
    assert 900 < world.acts[0][0] - 352 < 910, "the grace begins after it"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (lambda places: [(5, complain(places)), (6, 12)], "the sandbox cannot isolate"),
        (lambda places: [(6, 3)], "exit code 3"),
        (lambda places: [(9000, 0)], "not done after 3600 s"),
    ],
)
def test_an_evaluation_that_fails_is_a_warning_and_the_result_stays(places, script, why):
    world = World(places, trainers=[good], evaluators=[script(places)])
    upload_to_evaluate(places)
    (places.run).mkdir(parents=True)
    (places.run / "train.log").write_text("error: of an earlier attempt\n")
    keep(world, settings(finish_by=T0 + 7200))
    (told,) = only(places, events.Warning)
    assert why in told.message
    assert "datagen evaluate --model RUN" in told.message
    assert not only(places, events.Failed)
    assert checkpoints.complete(places.run)
    assert world.of("datagen")[0][3].code is not None


def test_finish_by_ends_the_evaluation(places):
    world = World(places, trainers=[good], evaluators=[[(9000, 0)]])
    upload_to_evaluate(places)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    assert "finish_by has passed" in only(places, events.Warning)[0].message
    assert world.of("datagen")[0][3].killed
    assert phases(places)[-2:] == ["ready", "released"]
    ready = next(e for e in all_events(places) if getattr(e, "name", "") == "ready")
    assert "the result is here" in ready.detail


def test_a_stop_ends_the_evaluation_and_keeps_the_result(places):
    world = World(places, trainers=[good], evaluators=[[(9000, 0)]])
    upload_to_evaluate(places)
    world.at(400, (places.root / "inbox" / "stop").touch)
    keep(world)
    assert "stopped by hand" in only(places, events.Warning)[0].message
    assert not only(places, events.Failed)


def test_a_restart_while_evaluating_goes_on_with_it_once(places):
    endless_one, second = [(90000, 0)], [(50, compared(places)), (51, 0)]
    world = World(places, trainers=[good], evaluators=[endless_one, second])
    upload_to_evaluate(places)
    world.at(400, world.stop)
    keep(world)
    assert world.of("datagen")[0][3].asked is not None
    (places.root / "released").unlink()
    keep(world)
    assert len(world.of("datagen")) == 2
    assert len(world.of("trainer")) == 1
    assert "evaluated" in phases(places)


def test_an_evaluation_is_not_begun_for_ever(places):
    world = World(places, trainers=[good], evaluators=[[(90000, 0)], [(90000, 0)]])
    upload_to_evaluate(places)
    for at in (400, 600):
        world.at(at, world.stop)
        keep(world)
        (places.root / "released").unlink()
    keep(world)
    assert "begun 2 times" in only(places, events.Warning)[0].message


def test_a_training_without_a_whole_result_is_not_evaluated(places):
    world = World(places, trainers=[endless])
    upload_to_evaluate(places)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    assert not world.of("datagen")


def test_episodes_without_their_tables_are_turned_down(places):
    world = World(places)
    upload_to_evaluate(places, tables=False)
    keep(world)
    assert "table ../tables/t.csv" in only(places, events.Warning)[0].message
    assert (places.root / "inbox" / "job.rejected.json").exists()


def upload_to_choose(places, **changes):
    """As ``upload_to_evaluate``, with other episodes to choose by."""
    upload_to_evaluate(places)
    inbox = places.root / "inbox"
    sha = hashlib.sha256(CSV).hexdigest()
    text = json.dumps({"tables": [{"path": "t.csv", "sha256": sha}], "other": 1}) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (inbox / digest).write_text(text)
    job = json.loads((inbox / "job.json").read_text())
    upload(places, evaluate=job["evaluate"], keep="best", validation=f"inbox/{digest}")


def chosen(places):
    """What the trainer leaves once it has chosen."""

    def write():
        (places.run / "validation.json").write_text("{}")
        whole = manifest.load(places.run / manifest.NAME)
        named = whole.files | manifest.hash_files(places.run, ["validation.json"])
        whole.model_copy(update={"files": named}).write(places.run / manifest.NAME)

    return write


def chooser(places):
    said = line("validation", step=4, right=1, questions=2)
    over = line("phase", name="validated", detail="step 4")
    return lambda world: Child(world, [(5, said), (50, chosen(places)), (51, over), (52, 0)])


def test_the_choice_comes_after_training_and_before_the_evaluation(places):
    world = World(
        places,
        trainers=[good],
        choosers=[chooser(places)],
        evaluators=[[(50, compared(places)), (51, 0)]],
    )
    upload_to_choose(places)
    keep(world)
    assert phases(places)[-6:] == [
        "save",
        "validated",
        "evaluate",
        "evaluated",
        "ready",
        "released",
    ]
    assert not only(places, events.Warning)
    ((_, argv, _, _),) = world.of("--choose")
    assert argv == ["trainer", str(places.root / "job.json"), "--choose"]
    job = Job.from_json(places.root / "job.json")
    assert job.validation is not None
    assert (places.root / job.validation).parent.joinpath("t.csv").read_bytes() == CSV
    assert [e.right for e in only(places, events.Validation)] == [1]


def test_a_choice_that_fails_is_a_warning_and_the_evaluation_follows(places):
    world = World(
        places,
        trainers=[good],
        choosers=[lambda world: Child(world, [(9, -9)])],
        evaluators=[[(50, compared(places)), (51, 0)]],
    )
    upload_to_choose(places)
    keep(world)
    (told,) = only(places, events.Warning)
    assert "exit code -9" in told.message
    assert "that of the lowest loss" in told.message
    assert "evaluated" in phases(places)


@pytest.mark.parametrize("deaf", [False, True])
def test_finish_by_ends_the_choice_and_the_adapter_stays(places, deaf):
    slow = lambda world: Child(world, [(9000, 0)], on_ask=[(3, 130)], deaf=deaf)  # noqa: E731
    world = World(places, trainers=[good], choosers=[slow])
    upload_to_choose(places)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    messages = [e.message for e in only(places, events.Warning)]
    assert "finish_by has passed" in messages[0]
    child = world.of("--choose")[0][3]
    assert child.asked is not None
    assert child.killed == deaf
    assert not world.of("datagen")
    assert checkpoints.complete(places.run)
    assert phases(places)[-2:] == ["ready", "released"]


def test_a_choice_that_was_cut_while_it_replaced_the_adapter_still_leaves_one(places):
    def torn(world):
        def lose():
            (places.run / manifest.NAME).unlink()

        return Child(world, [(9, lose), (10, -9)])

    world = World(places, trainers=[good], choosers=[torn])
    upload_to_choose(places)
    keep(world)
    assert world.of("--salvage")
    assert (places.run / manifest.NAME).exists()
    assert not world.of("datagen")


def test_a_choice_is_not_begun_for_ever(places):
    endless_one = lambda world: Child(world, [(90000, 0)])  # noqa: E731
    world = World(
        places,
        trainers=[good],
        choosers=[endless_one, endless_one],
        evaluators=[[(50, compared(places)), (51, 0)]],
    )
    upload_to_choose(places)
    for at in (400, 600):
        world.at(at, world.stop)
        keep(world)
        (places.root / "released").unlink()
    keep(world)
    assert "begun 2 times" in only(places, events.Warning)[0].message
    assert "evaluated" in phases(places)


def archive(name="sub/config.json", kind=tarfile.REGTYPE):
    block = io.BytesIO()
    with tarfile.open(fileobj=block, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.size = kind, 2
        tar.addfile(entry, io.BytesIO(b"{}"))
    return block.getvalue()


def upload_model(places, home, packed=None):
    """A job whose model is the folder ``home`` of another machine."""
    packed = archive() if packed is None else packed
    digest = hashlib.sha256(packed).hexdigest()
    inbox = places.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / digest).write_bytes(packed)
    upload(places, model=pod.model_name(digest, str(home)))


def test_an_uploaded_model_is_at_its_path_also_after_a_restart(places, tmp_path):
    home, seen = tmp_path / "home" / "me" / "model", []

    def look(world, argv):
        seen.append((home / "sub" / "config.json").read_text())
        return endless(world, argv) if len(seen) == 1 else good(world, argv)

    world = World(places, trainers=[look, look])
    upload_model(places, home)
    world.at(400, world.stop)
    keep(world)
    home.unlink()  # the container's disk is a new one
    (places.root / "released").unlink()
    keep(world)
    assert seen == ["{}", "{}"]
    assert Job.from_json(places.root / "job.json").model == str(home)


def test_a_model_that_would_hide_a_folder_of_the_pod_is_turned_down(places, tmp_path):
    world = World(places)
    upload_model(places, tmp_path)
    keep(world)
    assert "of its own" in only(places, events.Warning)[0].message
    assert not (places.root / "job.json").exists()


def test_a_model_that_was_not_uploaded_is_turned_down(places):
    world = World(places)
    upload(places, model=pod.model_name("0" * 64, "/home/me/model"))
    keep(world)
    assert "was not uploaded" in only(places, events.Warning)[0].message


@pytest.mark.parametrize(
    "packed",
    [
        b"no archive",
        archive("../outside"),
        archive("/outside"),
        archive("sub/../../outside"),
        archive("link", tarfile.SYMTYPE),
    ],
)
def test_an_archive_that_is_no_folder_of_files_is_turned_down(places, tmp_path, packed):
    world = World(places)
    upload_model(places, tmp_path / "home", packed)
    keep(world)
    assert "archive" in only(places, events.Warning)[0].message
    assert not list(tmp_path.rglob("outside"))
    assert not (places.root / "job.json").exists()
