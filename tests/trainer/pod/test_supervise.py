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
from trainer.pod.paths import Paths
from trainer.pod.release import Answer
from trainer.pod.sshd import KEY, Sshd

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

    def terminate(self):
        if self.asked is None:
            self.asked = self.world.time
            if not self.deaf:
                self.script = [(self.world.time + delay, what) for delay, what in self.on_ask]

    def kill(self):
        self._catch_up()
        if self.code is None:
            self.code, self.killed = -signal.SIGKILL, True


class World:
    """``System`` in virtual time. ``trainers`` are called with (world, argv) at each start."""

    def __init__(
        self,
        paths,
        *,
        trainers=(),
        salvage=None,
        evaluators=(),
        choosers=(),
        answers=(),
        probes=(),
        lasts=30 * 86400,
    ):
        self.paths, self.time, self.stop_asked = paths, T0, False
        self.evaluators, self.choosers = list(evaluators), list(choosers)
        self.trainers, self.salvage = list(trainers), salvage
        self.answers, self.probes = list(answers), list(probes)
        self.until = T0 + lasts
        self.said, self.started, self.acts, self.plans = [], [], [], []
        self.gpu = None
        self.downloads: list[tuple[float, float]] = []  # (from, to), in seconds after the start

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

    def download_is_running(self, port):
        return any(begin <= self.time - T0 < end for begin, end in self.downloads)

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
            if "--from-checkpoint" in argv:
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
def paths(tmp_path):
    sshd = Sshd(tmp_path / "r1" / "ssh", tmp_path / "sft", ("sshd", "-D"))
    return Paths(
        tmp_path / "r1", tmp_path / "hf", tmp_path / "secrets", sshd, ("trainer",), ("datagen",)
    )


def settings(**changes):
    values = {"run_id": "r1", "finish_by": T0 + 7200, "gone_by": T0 + 9000, **changes}
    return pod.PodSettings(**values)


def keep(world, setting=None, env=ENV):
    """One boot, from its start to its end."""
    world.stop_asked = False
    module.run_boot(setting or settings(), env, world.paths, world)
    return world


def boots(world):
    """All boots, until the container is told to stop."""
    module.supervise(settings(), ENV, world.paths, world)


def upload(paths, content=b'{"messages": []}\n', **job):
    digest = hashlib.sha256(content).hexdigest()
    inbox = paths.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / digest).write_bytes(content)
    values = {"data": f"inbox/{digest}", "output": "runs/x", **job}
    (inbox / "job.json").write_text(Job(**values).to_json())


def all_events(paths):
    return events.read(paths.run / "events.jsonl")[0]


def phases(paths):
    return [e.name for e in all_events(paths) if isinstance(e, events.Phase)]


def only(paths, kind):
    return [e for e in all_events(paths) if isinstance(e, kind)]


def checkpoint(paths, number):
    folder = paths.run / "checkpoints" / f"checkpoint-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    mark = checkpoints.Record(
        step=number, job={}, job_hash="j", data_sha256="d", template_sha256="t", precision="bf16",
        device="gpu", pass_tokens=1, tokens=1, trained_tokens=1,
    )  # fmt: skip
    checkpoints.write_record(folder, mark)
    return line("checkpoint", step=number, path=f"checkpoints/checkpoint-{number}")


def result(paths, *, complete):
    manifest.Manifest(
        complete=complete, created="", files={}, job_hash="", data_sha256="", base_model="",
        revision=None, template_sha256="", versions={}, device="", precision="", seed=0,
        metrics={}, reload_proof=None,
    ).write(paths.run / "manifest.json")  # fmt: skip
    return line("done", manifest="manifest.json")


def salvaged(world):
    return [(5, lambda: result(world.paths, complete=False)), (6, 0)]


BEGIN = [(0, line("phase", name="data")), (5, line("phase", name="model"))]
BEGIN += [(60, line("phase", name="train")), (61, step(1))]


def good(world, argv):
    """Two steps, a checkpoint, and a whole result after five minutes."""
    return Child(
        world,
        [
            *BEGIN,
            (200, lambda: checkpoint(world.paths, 2)),
            (250, line("phase", name="save")),
            (300, lambda: result(world.paths, complete=True)),
            (301, 0),
        ],
    )


def endless(world, argv):
    """A step every minute; saves when it is asked to end."""
    steps = [(60 + 60 * n, step(n)) for n in range(1, 2000)]
    saves = [
        (5, lambda: checkpoint(world.paths, 9)),
        (6, line("failed", cause="i", exit_code=130)),
    ]
    first = (90, lambda: checkpoint(world.paths, 1))
    return Child(
        world, sorted([*BEGIN, *steps, first], key=lambda x: x[0]), on_ask=[*saves, (7, 130)]
    )


def test_the_whole_story(paths):
    world = World(paths, trainers=[good])
    world.at(30, lambda: upload(paths))
    keep(world)
    assert phases(paths) == [
        *("booted", "probed", "waiting", "accepted", "running"),
        *("data", "model", "train", "save", "ready", "released"),
    ]
    assert [e.seq for e in all_events(paths)] == list(range(len(all_events(paths))))
    assert isinstance(all_events(paths)[-1], events.Released)
    assert not only(paths, events.Failed)
    ((when, action),) = world.acts
    assert action == "stop"
    assert 331 + 900 <= when < 331 + 905
    job = Job.from_json(paths.root / "job.json")
    assert job.output == "run"
    assert "sft-launch host-key run=r1 boot=1 ssh-ed25519 HOSTKEY" in world.said


@pytest.mark.parametrize(
    ("downloads", "stopped"),
    [
        ([(400, 1000)], 1201),  # done within the grace, which ends 900 s after the result at 301 s
        ([(400, 3000)], 3060),
        ([(1150, 2000), (2050, 2500)], 2560),  # the link broke in between
        ([(1150, 1300), (1400, 2000)], 1360),  # nobody came back in time
        ([(400, 10**6)], 9000),  # the deadline holds in every case
    ],
)
def test_the_grace_lasts_as_long_as_a_download(paths, downloads, stopped):
    world = World(paths, trainers=[good])
    world.downloads = downloads
    upload(paths)
    keep(world)
    ((when, action),) = world.acts
    assert action == "stop"
    assert stopped - 6 <= when <= stopped + 3
    waited = [text for text in world.said if "a download is running" in text]
    assert len(waited) == (stopped > 1201)


def test_children_see_no_key_and_no_setting(paths):
    world = World(paths, trainers=[good])
    upload(paths)
    paths.secrets.mkdir()
    (paths.secrets / "HF_TOKEN").write_text("hf_secret")
    keep(world)
    for _, argv, env, _ in world.started:
        mine = {k for k in env if k.startswith(("RUNPOD_", "SFT_"))}
        guard = "trainer.pod.release" in argv
        assert mine == ({"RUNPOD_API_KEY", "RUNPOD_POD_ID"} if guard else set())
        assert "PUBLIC_KEY" not in env
        assert "hf_secret" not in env.values()
    ((_, _, env, _),) = world.of("trainer")
    assert env["HF_TOKEN_PATH"] == str(paths.secrets / "HF_TOKEN")
    assert env["HF_HOME"] == str(paths.hf)


def test_the_guard_is_first_and_holds_the_last_instant(paths):
    world = keep(World(paths))
    _, argv, _, _ = world.started[0]
    assert argv[argv.index("--at") + 1] == str(T0 + 9000)


def test_a_guard_that_ends_is_started_again(paths):
    world = World(paths)
    world.at(100, lambda: setattr(world.of("trainer.pod.release")[0][3], "code", 1))
    keep(world)
    assert len(world.of("trainer.pod.release")) == 2


def test_sshd_is_started_again_and_enters_with_one_key(paths):
    world = World(paths)
    world.at(100, lambda: setattr(world.of("sshd")[0][3], "code", 255))
    keep(world)
    first, second = (when for when, *_ in world.of("sshd"))
    assert first < 1
    assert 100 <= second < 106
    assert (paths.sshd.in_container / "authorized_keys").read_text() == "ssh-ed25519 AAAA laptop\n"
    key = paths.sshd.in_container / KEY
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("PRIVATE", 0o600)
    assert "sshd ended" in only(paths, events.Warning)[0].message


def test_without_a_job_the_pod_goes(paths):
    world = keep(World(paths))
    ((when, action),) = world.acts
    assert 900 <= when < 905
    assert action == "terminate"
    assert only(paths, events.Released)[0].reason == "no-job"


def test_a_restart_does_not_give_more_time_for_the_upload(paths):
    world = World(paths)
    world.at(600, world.stop)
    keep(world)
    (paths.root / "released").unlink()
    keep(world)
    assert 900 <= world.acts[0][0] < 910


def test_the_host_key_stays(paths):
    world = World(paths)
    world.at(10, world.stop)
    keep(world)
    keep(world)
    assert len(world.of("ssh-keygen")) == 1
    lines = [pod.parse_host_key(text, "r1") for text in world.said if "host-key" in text]
    assert lines == [(1, "ssh-ed25519 HOSTKEY"), (2, "ssh-ed25519 HOSTKEY")]


def test_a_wrong_upload_is_turned_down_and_another_taken(paths):
    world = World(paths, trainers=[good])

    def wrong():
        upload(paths)
        (bad,) = [p for p in (paths.root / "inbox").iterdir() if len(p.name) == 64]
        bad.write_bytes(b"torn")
        world.at(15, lambda: gone.append(not bad.exists()))

    gone: list[bool] = []
    world.at(10, wrong)
    world.at(20, lambda: (paths.root / "inbox" / "job.json").write_text("{"))
    world.at(60, lambda: upload(paths))
    keep(world)
    assert gone == [True]
    told = [e.message for e in only(paths, events.Warning)]
    assert len(told) == 2
    assert "content" in told[0]
    assert "as JSON" in told[1]
    assert (paths.root / "inbox" / "job.rejected.json").exists()
    assert phases(paths).count("accepted") == 1


@pytest.mark.parametrize("name", ["/etc/passwd", "rows.jsonl", "../r2/inbox/" + "0" * 64])
def test_a_job_names_uploads_only(paths, name):
    world = World(paths)
    upload(paths, data=name)
    keep(world)
    assert "not the name of an upload" in only(paths, events.Warning)[0].message
    assert not world.of("trainer")


def test_finish_by_saves_and_makes_a_result(paths):
    world = World(paths, trainers=[endless])
    upload(paths)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 7200 <= trainer.asked - T0 < 7201
    assert not trainer.killed
    (failed,) = only(paths, events.Failed)
    assert "the time is up at step" in failed.cause
    assert not manifest.load(paths.run / "manifest.json").complete
    assert phases(paths)[-4:] == ["saving", "saving", "ready", "released"]
    # Ready until the last instant, which comes before the grace has passed.
    ((when, action),) = world.acts
    assert action == "stop"
    assert 7200 + 900 <= when < 7200 + 960


def test_finish_by_lets_a_run_that_is_saving_end(paths):
    def late(world, argv):
        begin = [*BEGIN, (7150, line("phase", name="proof"))]
        return Child(
            world,
            [
                *begin,
                (7500, lambda: result(world.paths, complete=True)),
                (7501, 0),
            ],
        )

    world = World(paths, trainers=[late])
    upload(paths)
    keep(world, settings(limits=pod.Limits(no_step=8000, idle_gpu=8000)))
    assert not only(paths, events.Failed)
    assert world.of("trainer")[0][3].asked is None


def test_gone_by_holds_when_nothing_listens(paths):
    def deaf(world, argv):
        child = endless(world, argv)
        child.deaf = True
        return child

    world = World(paths, trainers=[deaf], salvage=[(10**9, 0)])
    upload(paths)
    keep(world, settings(limits=pod.Limits(load=10**6)))
    ((when, action),) = world.acts
    assert when < 9000
    assert action == "stop"
    assert all(
        child.code is not None for _, argv, _, child in world.started if argv[0] == "trainer"
    )
    assert only(paths, events.Released)[0].reason == "deadline"


@pytest.mark.parametrize(("complete", "action"), [(True, "stop"), (False, "terminate")])
def test_at_the_deadline_only_what_is_not_whole_is_deleted(paths, complete, action):
    def ends(world, argv):
        return Child(world, [*BEGIN, (90, lambda: result(world.paths, complete=complete)), (91, 0)])

    world = World(paths, trainers=[ends] * 3)
    upload(paths)
    keep(world, settings(grace_seconds=10**6, on_deadline="delete"))
    assert world.acts[0][1] == action
    assert 8990 <= world.acts[0][0] < 9000


def test_a_trainer_that_dies_without_a_word_is_resumed(paths):
    def dies(world, argv):
        return Child(world, [*BEGIN, (90, lambda: checkpoint(world.paths, 1)), (100, -9)])

    world = World(paths, trainers=[dies, good])
    upload(paths)
    keep(world)
    first, second = world.of("trainer")
    assert "--resume" not in first[1]
    assert "--resume" in second[1]
    # By then the weights were there, and a token may not be.
    assert ("HF_HUB_OFFLINE" in first[2], second[2]["HF_HUB_OFFLINE"]) == (False, "1")
    assert "SIGKILL" in only(paths, events.Warning)[0].message
    assert not only(paths, events.Failed)
    assert manifest.load(paths.run / "manifest.json").complete


def test_the_third_death_ends_the_run_and_saves_it(paths):
    def dies(world, argv):
        return Child(world, [*BEGIN, (90, lambda: checkpoint(world.paths, 1)), (100, -9)])

    world = World(paths, trainers=[dies] * 3)
    upload(paths)
    keep(world)
    assert len(world.of("trainer")) == 4
    assert "3 times" in only(paths, events.Failed)[0].cause
    assert not manifest.load(paths.run / "manifest.json").complete


def test_a_trainer_that_fails_is_not_started_again(paths):
    def fails(world, argv):
        nan = line("failed", cause="the loss is nan", exit_code=9)
        return Child(world, [*BEGIN, (90, lambda: checkpoint(world.paths, 1)), (99, nan), (100, 9)])

    world = World(paths, trainers=[fails])
    upload(paths)
    keep(world)
    assert [argv[-1] for _, argv, _, _ in world.of("trainer")][1:] == ["--from-checkpoint"]
    (failed,) = only(paths, events.Failed)
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
def test_a_phase_that_takes_too_long_is_ended(paths, phase, seconds):
    world = World(paths, trainers=[hangs_in(phase)])
    upload(paths)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert seconds < trainer.asked - T0 < seconds + 10
    assert "stalled" in only(paths, events.Failed)[0].cause


def test_a_gpu_that_idles_ends_the_run_and_one_that_works_does_not(paths):
    world = World(paths, trainers=[endless])
    upload(paths)
    world.gpu = 80
    world.at(2000, lambda: setattr(world, "gpu", 0))
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 2870 < trainer.asked - T0 < 2960
    assert "GPU has been idle" in only(paths, events.Failed)[0].cause


def test_a_trainer_that_does_not_listen_is_killed(paths):
    def deaf(world, argv):
        child = hangs_in("train")(world, argv)
        child.deaf = True
        return child

    world = World(paths, trainers=[deaf])
    upload(paths)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert trainer.killed
    assert "ready" in phases(paths)


def test_a_container_restart_goes_on_with_the_same_instants(paths):
    world = World(paths, trainers=[endless, endless])
    upload(paths)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    world.time += 20
    keep(world)
    assert phases(paths).count("accepted") == 1
    assert [a for _, a, _, _ in world.of("trainer")][1][-1] == "--resume"
    assert {argv[argv.index("--at") + 1] for _, argv, _, _ in world.of("trainer.pod.release")} == {
        str(T0 + 9000)
    }
    assert 7200 <= world.of("trainer")[1][3].asked - T0 < 7201
    seqs = [e.seq for e in all_events(paths)]
    assert seqs == list(range(len(seqs)))


def test_containers_that_restart_without_progress_end_the_run(paths):
    world = World(paths, trainers=[hangs_in("train")] * 10)
    upload(paths)
    for number in range(1, 5):
        world.at(50 * number, lambda: (_ for _ in ()).throw(MemoryError))
    for _ in range(4):
        with pytest.raises(MemoryError):
            keep(world)
    keep(world)
    assert len(world.of("trainer")) == 4
    assert "restart loop" in only(paths, events.Failed)[0].cause


def test_a_restart_while_waiting_to_be_fetched_does_not_begin_a_new_grace(paths):
    world = World(paths, trainers=[good])
    upload(paths)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    keep(world)
    assert 1200 < world.acts[0][0] < 1210
    assert len(world.of("trainer")) == 1


def test_a_pod_that_is_started_again_is_ready_and_stops_again(paths):
    world = World(paths, trainers=[good])
    upload(paths)
    keep(world)
    world.time = T0 + 86400
    keep(world)
    assert phases(paths)[-4:] == ["booted", "probed", "ready", "released"]
    assert 86400 + 900 <= world.acts[1][0] < 86400 + 910
    at = world.of("trainer.pod.release")[-1][1]
    assert float(at[at.index("--at") + 1]) == pytest.approx(T0 + 86400 + 1800)


def test_a_pod_that_was_stopped_by_others_and_started_late_saves_what_there_is(paths):
    world = World(paths, trainers=[endless])
    upload(paths)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    world.time = T0 + 86400
    keep(world)
    assert not manifest.load(paths.run / "manifest.json").complete
    assert "ready" in phases(paths)
    assert 86400 + 900 <= world.acts[0][0] < 86400 + 1000


def test_a_stop_from_outside_saves(paths):
    world = World(paths, trainers=[endless])
    upload(paths)
    world.at(300, world.stop)
    keep(world)
    assert (paths.run / "checkpoints" / "checkpoint-9").exists()
    assert not world.acts
    assert not only(paths, events.Failed)


def test_a_key_that_may_not_act_is_told_and_the_pod_keeps_still(paths):
    world = World(paths, probes=[REFUSED], answers=[REFUSED] * 20, lasts=900 + 20 * 310)
    keep(world)
    probed = next(e for e in all_events(paths) if getattr(e, "name", "") == "probed")
    assert probed.detail.startswith(pod.MAY_NOT_ACT)
    told = [text for text in world.said if "STILL BILLED" in text]
    assert 15 <= len(told) <= 20
    times = [when for when, action in world.acts if action == "stop"]
    assert all(later - sooner >= 300 for sooner, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(422, "stop: HTTP 422", only="stop"), pod.MAY_STOP),
        (Answer(422, "terminate: HTTP 422", only="terminate"), pod.MAY_DELETE),
        (
            Answer(200, "accepted", only="stop"),
            f"{pod.ENDED_BY_PROBE}: RunPod carried out an invalid stop",
        ),
    ],
)
def test_a_key_that_may_do_one_thing_is_told(paths, answer, told):
    keep(World(paths, probes=[answer]))
    probed = next(e for e in all_events(paths) if getattr(e, "name", "") == "probed")
    assert probed.detail == told


@pytest.mark.parametrize("at_deadline", [True, False])
def test_a_pod_that_may_only_delete_itself_does_so_at_its_deadline(paths, at_deadline):
    only = Answer(422, "terminate: HTTP 422", only="terminate")
    world = World(paths, trainers=[good], probes=[only], answers=[REFUSED, REFUSED, OK])
    upload(paths)
    keep(world, settings(grace_seconds=10**6 if at_deadline else 900))
    actions = [action for _, action in world.acts]
    if at_deadline:
        assert actions == ["stop", "stop", "terminate"]
        assert 8990 <= world.acts[0][0] <= world.acts[-1][0] <= 9005
    else:
        # The end of the grace deletes no result: the user may still come, until the deadline.
        assert set(actions) == {"stop"}


def test_a_probe_without_an_answer_is_tried_again(paths):
    keep(World(paths, probes=[Answer(None, "timed out"), MAY]))
    probed = next(e for e in all_events(paths) if getattr(e, "name", "") == "probed")
    assert probed.detail == pod.MAY_ACT


def test_a_full_disk_is_told(paths, monkeypatch):
    real, full = crash_safe_files.append, [True]

    def append(file, lines, **how):
        if full[0] and b'"phase"' in lines:
            raise OSError(28, "No space left on device")
        return real(file, lines, **how)

    monkeypatch.setattr(events, "append", append)
    world = World(paths)
    world.at(600, lambda: full.__setitem__(0, False))
    keep(world)
    assert phases(paths) == ["booted", "probed", "waiting", "released"]
    assert not (paths.root / "reserve").exists()
    assert any("disk is full" in text for text in world.said)


def test_another_pod_on_the_same_volume_goes_on(paths):
    world = World(paths, trainers=[endless, good])
    upload(paths)
    world.at(1000, lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        keep(world)
    (paths.root / "inbox" / "stop").touch()
    world.time += 20000
    begun = world.time
    world.at(begun + 30 - T0, lambda: upload(paths))
    keep(
        world,
        settings(finish_by=begun + 7200, gone_by=begun + 9000),
        ENV | {"RUNPOD_POD_ID": "p2"},
    )
    assert manifest.load(paths.run / "manifest.json").complete
    assert world.of("trainer")[1][1][-1] == "--resume"
    assert phases(paths).count("accepted") == 2


def test_a_trainer_that_ends_well_when_it_is_cut_is_done(paths):
    def nearly(world, argv):
        child = endless(world, argv)
        child.on_ask = [(9, lambda: result(world.paths, complete=True)), (10, 0)]
        return child

    world = World(paths, trainers=[nearly])
    upload(paths)
    keep(world)
    assert not only(paths, events.Failed)
    assert "ready" in phases(paths)


def test_faults_of_our_own_do_not_outlast_the_deadline(paths):
    paths.root.parent.mkdir(exist_ok=True)
    paths.root.write_text("no folder")
    world = World(paths, answers=[Answer(500, "HTTP 500"), REFUSED, OK])
    boots(world)
    assert [action for _, action in world.acts] == ["stop"] * 3
    assert 9000 <= world.acts[0][0] < 9001
    assert any("Traceback" in text for text in world.said)


def test_a_fault_of_our_own_is_survived(paths):
    world = World(paths, trainers=[endless, good])
    upload(paths)
    world.at(300, lambda: (_ for _ in ()).throw(MemoryError))
    boots(world)
    assert manifest.load(paths.run / "manifest.json").complete
    assert world.of("trainer")[0][3].killed
    assert world.of("trainer.pod.release")[0][3].killed


def test_a_pod_that_is_started_again_at_once_has_its_grace_too(paths):
    world = World(paths, trainers=[good])
    upload(paths)
    keep(world)
    first = world.acts[0][0]
    world.time += 60
    keep(world)
    assert world.acts[1][0] >= first + 60 + 900


def test_containers_that_restart_after_progress_go_on(paths):
    world = World(paths, trainers=[endless] * 6 + [good])
    upload(paths)
    for number in range(1, 7):
        world.at(200 * number, lambda: (_ for _ in ()).throw(MemoryError))
    for _ in range(6):
        with pytest.raises(MemoryError):
            keep(world)
    keep(world)
    assert not only(paths, events.Failed)
    assert manifest.load(paths.run / "manifest.json").complete


def test_no_job_is_waited_for_beyond_finish_by(paths):
    world = keep(World(paths), settings(finish_by=T0 + 100, gone_by=T0 + 5000))
    assert 100 <= world.acts[0][0] < 105


def test_a_stop_in_the_inbox_saves_and_ends_the_training(paths):
    world = World(paths, trainers=[endless])
    upload(paths)
    world.at(300, (paths.root / "inbox" / "stop").touch)
    keep(world)
    trainer = world.of("trainer")[0][3]
    assert 300 <= trainer.asked - T0 < 301
    (failed,) = only(paths, events.Failed)
    assert (failed.cause, failed.exit_code) == ("stopped by the user", 130)
    assert not manifest.load(paths.run / "manifest.json").complete
    assert phases(paths)[-2:] == ["ready", "released"]


def test_a_trainer_killed_after_a_stop_is_not_started_again(paths):
    def killed(world, argv):
        return Child(world, [*BEGIN, (300, -9)])

    world = World(paths, trainers=[killed])
    upload(paths)
    world.at(299.9, (paths.root / "inbox" / "stop").touch)
    keep(world)
    assert len(world.of("trainer")) == 1
    assert only(paths, events.Failed)[0].exit_code == 130


CSV = b"a,b\n1,2\n"


def upload_to_evaluate(paths, *, tables=True):
    """A job with episodes about a table that lies beside their folder at home."""
    sha = hashlib.sha256(CSV).hexdigest()
    text = json.dumps({"tables": [{"path": "../tables/t.csv", "sha256": sha}]}) + "\n"
    inbox = paths.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    if tables:
        (inbox / sha).write_bytes(CSV)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (inbox / digest).write_text(text)
    upload(paths, evaluate=f"inbox/{digest}")


def compared(paths):
    """What datagen writes in the end."""

    def write():
        (paths.run / "comparison.json").write_text('{"n": 4, "base": 0.25, "adapter": 0.75}')

    return write


def complain(paths):
    def write():
        with (paths.run / "train.log").open("a") as log:
            log.write("error: the sandbox cannot isolate\n  -> say so\n")

    return write


def test_what_the_evaluation_says_meanwhile_is_passed_on(paths):
    said = events.Answers(label="base", questions=4, answered=2, right=1).model_dump_json().encode()
    world = World(paths, trainers=[good], evaluators=[[(5, said), (50, compared(paths)), (51, 0)]])
    upload_to_evaluate(paths)
    keep(world)
    assert phases(paths)[-3:] == ["evaluated", "ready", "released"]
    (found,) = [e for e in all_events(paths) if isinstance(e, events.Answers)]
    assert (found.answered, found.questions) == (2, 4)


def test_the_evaluation_is_the_last_phase_with_its_tables_where_they_are_named(paths):
    world = World(paths, trainers=[good], evaluators=[[(50, compared(paths)), (51, 0)]])
    upload_to_evaluate(paths)
    keep(world)
    assert phases(paths)[-5:] == ["save", "evaluate", "evaluated", "ready", "released"]
    told = next(e for e in all_events(paths) if getattr(e, "name", "") == "evaluated")
    assert told.detail == "base 0.250, adapter 0.750, 4 questions"
    ((_, argv, env, _),) = world.of("datagen")
    assert argv[:3] == ["datagen", "--model", "run"]
    assert argv[5:] == ["--out", "run"]
    episodes = paths.root / argv[4]
    assert (episodes.parent / "../tables/t.csv").resolve().read_bytes() == CSV
    assert not [k for k in env if k.startswith(("RUNPOD_", "SFT_"))]
    assert 900 < world.acts[0][0] - 352 < 910, "the grace begins after it"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (lambda paths: [(5, complain(paths)), (6, 12)], "the sandbox cannot isolate"),
        (lambda paths: [(6, 3)], "exit code 3"),
        (lambda paths: [(9000, 0)], "not done after 3600 s"),
    ],
)
def test_an_evaluation_that_fails_is_a_warning_and_the_result_stays(paths, script, why):
    world = World(paths, trainers=[good], evaluators=[script(paths)])
    upload_to_evaluate(paths)
    (paths.run).mkdir(parents=True)
    (paths.run / "train.log").write_text("error: of an earlier attempt\n")
    keep(world, settings(finish_by=T0 + 7200))
    (told,) = only(paths, events.Warning)
    assert why in told.message
    assert "datagen evaluate --model RUN" in told.message
    assert not only(paths, events.Failed)
    assert checkpoints.complete(paths.run)
    assert world.of("datagen")[0][3].code is not None


def test_finish_by_ends_the_evaluation(paths):
    world = World(paths, trainers=[good], evaluators=[[(9000, 0)]])
    upload_to_evaluate(paths)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    assert "save-by deadline has passed" in only(paths, events.Warning)[0].message
    assert world.of("datagen")[0][3].killed
    assert phases(paths)[-2:] == ["ready", "released"]
    ready = next(e for e in all_events(paths) if getattr(e, "name", "") == "ready")
    assert "the result is ready" in ready.detail


def test_a_stop_ends_the_evaluation_and_keeps_the_result(paths):
    world = World(paths, trainers=[good], evaluators=[[(9000, 0)]])
    upload_to_evaluate(paths)
    world.at(400, (paths.root / "inbox" / "stop").touch)
    keep(world)
    assert "stopped by the user" in only(paths, events.Warning)[0].message
    assert not only(paths, events.Failed)


def test_a_restart_while_evaluating_goes_on_with_it_once(paths):
    endless_one, second = [(90000, 0)], [(50, compared(paths)), (51, 0)]
    world = World(paths, trainers=[good], evaluators=[endless_one, second])
    upload_to_evaluate(paths)
    world.at(400, world.stop)
    keep(world)
    assert world.of("datagen")[0][3].asked is not None
    (paths.root / "released").unlink()
    keep(world)
    assert len(world.of("datagen")) == 2
    assert len(world.of("trainer")) == 1
    assert "evaluated" in phases(paths)


def test_an_evaluation_is_not_begun_for_ever(paths):
    world = World(paths, trainers=[good], evaluators=[[(90000, 0)], [(90000, 0)]])
    upload_to_evaluate(paths)
    for at in (400, 600):
        world.at(at, world.stop)
        keep(world)
        (paths.root / "released").unlink()
    keep(world)
    assert "started 2 times" in only(paths, events.Warning)[0].message


def test_a_training_without_a_whole_result_is_not_evaluated(paths):
    world = World(paths, trainers=[endless])
    upload_to_evaluate(paths)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    assert not world.of("datagen")


def test_episodes_without_their_tables_are_turned_down(paths):
    world = World(paths)
    upload_to_evaluate(paths, tables=False)
    keep(world)
    assert "table ../tables/t.csv" in only(paths, events.Warning)[0].message
    assert (paths.root / "inbox" / "job.rejected.json").exists()


def upload_to_choose(paths, **changes):
    """As ``upload_to_evaluate``, with other episodes to choose by."""
    upload_to_evaluate(paths)
    inbox = paths.root / "inbox"
    sha = hashlib.sha256(CSV).hexdigest()
    text = json.dumps({"tables": [{"path": "t.csv", "sha256": sha}], "other": 1}) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (inbox / digest).write_text(text)
    job = json.loads((inbox / "job.json").read_text())
    upload(paths, evaluate=job["evaluate"], keep="best", validation=f"inbox/{digest}")


def chosen(paths):
    """What the trainer leaves once it has chosen."""

    def write():
        (paths.run / "validation.json").write_text("{}")
        whole = manifest.load(paths.run / manifest.NAME)
        named = whole.files | manifest.hash_files(paths.run, ["validation.json"])
        whole.model_copy(update={"files": named}).write(paths.run / manifest.NAME)

    return write


def chooser(paths):
    said = line("validation", step=4, right=1, questions=2)
    over = line("phase", name="validated", detail="step 4")
    return lambda world: Child(world, [(5, said), (50, chosen(paths)), (51, over), (52, 0)])


def test_the_choice_comes_after_training_and_before_the_evaluation(paths):
    world = World(
        paths,
        trainers=[good],
        choosers=[chooser(paths)],
        evaluators=[[(50, compared(paths)), (51, 0)]],
    )
    upload_to_choose(paths)
    keep(world)
    assert phases(paths)[-6:] == [
        "save",
        "validated",
        "evaluate",
        "evaluated",
        "ready",
        "released",
    ]
    assert not only(paths, events.Warning)
    ((_, argv, _, _),) = world.of("--choose")
    assert argv == ["trainer", str(paths.root / "job.json"), "--choose"]
    job = Job.from_json(paths.root / "job.json")
    assert job.validation is not None
    assert (paths.root / job.validation).parent.joinpath("t.csv").read_bytes() == CSV
    assert [e.right for e in only(paths, events.Validation)] == [1]


def test_a_choice_that_fails_is_a_warning_and_the_evaluation_follows(paths):
    world = World(
        paths,
        trainers=[good],
        choosers=[lambda world: Child(world, [(9, -9)])],
        evaluators=[[(50, compared(paths)), (51, 0)]],
    )
    upload_to_choose(paths)
    keep(world)
    (told,) = only(paths, events.Warning)
    assert "exit code -9" in told.message
    assert "that of the lowest loss" in told.message
    assert "evaluated" in phases(paths)


@pytest.mark.parametrize("deaf", [False, True])
def test_finish_by_ends_the_choice_and_the_adapter_stays(paths, deaf):
    slow = lambda world: Child(world, [(9000, 0)], on_ask=[(3, 130)], deaf=deaf)  # noqa: E731
    world = World(paths, trainers=[good], choosers=[slow])
    upload_to_choose(paths)
    keep(world, settings(finish_by=T0 + 1000, gone_by=T0 + 3000))
    messages = [e.message for e in only(paths, events.Warning)]
    assert "save-by deadline has passed" in messages[0]
    child = world.of("--choose")[0][3]
    assert child.asked is not None
    assert child.killed == deaf
    assert not world.of("datagen")
    assert checkpoints.complete(paths.run)
    assert phases(paths)[-2:] == ["ready", "released"]


def test_a_choice_that_was_cut_while_it_replaced_the_adapter_still_leaves_one(paths):
    def torn(world):
        def lose():
            (paths.run / manifest.NAME).unlink()

        return Child(world, [(9, lose), (10, -9)])

    world = World(paths, trainers=[good], choosers=[torn])
    upload_to_choose(paths)
    keep(world)
    assert world.of("--from-checkpoint")
    assert (paths.run / manifest.NAME).exists()
    assert not world.of("datagen")


def test_a_choice_is_not_begun_for_ever(paths):
    endless_one = lambda world: Child(world, [(90000, 0)])  # noqa: E731
    world = World(
        paths,
        trainers=[good],
        choosers=[endless_one, endless_one],
        evaluators=[[(50, compared(paths)), (51, 0)]],
    )
    upload_to_choose(paths)
    for at in (400, 600):
        world.at(at, world.stop)
        keep(world)
        (paths.root / "released").unlink()
    keep(world)
    assert "started 2 times" in only(paths, events.Warning)[0].message
    assert "evaluated" in phases(paths)


def archive(name="sub/config.json", kind=tarfile.REGTYPE):
    block = io.BytesIO()
    with tarfile.open(fileobj=block, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.size = kind, 2
        tar.addfile(entry, io.BytesIO(b"{}"))
    return block.getvalue()


def upload_model(paths, home, packed=None):
    """A job whose model is the folder ``home`` of another machine."""
    packed = archive() if packed is None else packed
    digest = hashlib.sha256(packed).hexdigest()
    inbox = paths.root / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / digest).write_bytes(packed)
    upload(paths, model=pod.model_name(digest, str(home)))


def test_an_uploaded_model_is_at_its_path_also_after_a_restart(paths, tmp_path):
    home, seen = tmp_path / "home" / "me" / "model", []

    def look(world, argv):
        seen.append((home / "sub" / "config.json").read_text())
        return endless(world, argv) if len(seen) == 1 else good(world, argv)

    world = World(paths, trainers=[look, look])
    upload_model(paths, home)
    world.at(400, world.stop)
    keep(world)
    home.unlink()  # the container's disk is a new one
    (paths.root / "released").unlink()
    keep(world)
    assert seen == ["{}", "{}"]
    assert Job.from_json(paths.root / "job.json").model == str(home)


def test_a_model_that_would_hide_a_folder_of_the_pod_is_turned_down(paths, tmp_path):
    world = World(paths)
    upload_model(paths, tmp_path)
    keep(world)
    assert "exists in the pod already" in only(paths, events.Warning)[0].message
    assert not (paths.root / "job.json").exists()


def test_a_model_that_was_not_uploaded_is_turned_down(paths):
    world = World(paths)
    upload(paths, model=pod.model_name("0" * 64, "/home/me/model"))
    keep(world)
    assert "was not uploaded" in only(paths, events.Warning)[0].message


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
def test_an_archive_that_is_no_folder_of_files_is_turned_down(paths, tmp_path, packed):
    world = World(paths)
    upload_model(paths, tmp_path / "home", packed)
    keep(world)
    assert "archive" in only(paths, events.Warning)[0].message
    assert not list(tmp_path.rglob("outside"))
    assert not (paths.root / "job.json").exists()
