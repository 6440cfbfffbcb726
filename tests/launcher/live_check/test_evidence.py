"""Hand-made runs and figures; what is held, broken or not reached follows from the files alone."""

import json

import pytest

from launcher.live_check import evidence
from launcher.live_check.certificate import Certificate, make
from launcher.live_check.evidence import Record, of_bill, of_card, of_training
from launcher.live_check.killed import flags
from launcher.live_check.sample_rows import write_long, write_short
from launcher.quote.measured import Measured
from launcher.runs.run_folder import Run
from launcher.settings import Settings, given, load
from launcher.verbs import train
from tests.launcher.rental.account import FAKE_TRAINER
from trainer.contract import events
from trainer.contract import pod as border
from trainer.contract.command.arguments import Parser
from trainer.contract.command.errors import ResultRejected
from trainer.contract.manifest import Manifest, ReloadProof, hash_files
from trainer.contract.rows import read_rows

AT = 1_800_000_000.0


def a_run(folder, *, probed=border.MAY_ACT, reached="verify", run_id="r"):
    """As a launcher writes it, up to the journal's entry ``reached``; the pod was up 95 s after the rental."""
    folder.mkdir()
    every = [
        ("created", "fact", 0, {"id": run_id, "where": "runpod", "model": "bundled:tiny"}),
        ("rent", "intent", 2, {"name": "n", "gpu": "NVIDIA L4", "rate": 0.3, "image": "me/sft@sha256:00",
                               "finish_by": AT + 3000, "gone_by": AT + 3600}),
        ("rent", "done", 5, {"pod": "p1"}),
        ("up", "fact", 100, {}),
        ("upload", "done", 110, {}),
        ("start", "done", 111, {}),
        ("fetch", "done", 199, {}),
        ("verify", "done", 200, {}),
    ]  # fmt: skip
    names = [what for what, *_ in every]
    entries = every[: len(names) - names[::-1].index(reached)]
    (folder / "journal.jsonl").write_text(
        "".join(
            json.dumps({"what": what, "stage": stage, "time": AT + at, "facts": facts}) + "\n"
            for what, stage, at, facts in entries
        )
    )
    said: list[events.Event] = [events.Phase(name="probed", detail=probed)]
    if reached == "verify":
        step = events.Step(step=1, steps=2, epoch=1.0, loss=2.5, lr=1e-4, tokens=9, trained_tokens=9,
                           tokens_per_second=1.0, trained_tokens_per_second=1.0, seconds_left=0.0,
                           memory_bytes=1)  # fmt: skip
        said += [
            events.Plan(device="NVIDIA L4", precision="bf16", pass_tokens=9, passes=1.0, rows=3, tokens=9,
                        trained_tokens=9, steps=2, epochs=1.0, trainable_parameters=1),
            step,
            step.model_copy(update={"step": 2, "loss": 1.25}),
            events.Done(manifest="manifest.json"),
        ]  # fmt: skip
        FAKE_TRAINER.save_adapter(folder / "adapter")
        Manifest(
            complete=True, created="", files=hash_files(folder, ["adapter"]), job_hash="", data_sha256="", base_model="", revision=None,
            template_sha256="", versions={}, device="", precision="", seed=0, metrics={},
            reload_proof=ReloadProof(equal=True, max_abs_diff=0.0, base_max_abs_diff=1.0, rows=3,
                                     attention_diff=0.002),
        ).write(folder / "manifest.json")  # fmt: skip
    (folder / "events.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in said))
    return Record(Run(run_id, folder))


def test_a_whole_run_holds_everything_with_its_evidence(tmp_path):
    found = of_training(a_run(tmp_path / "r"), None)
    assert [one.what for one in found] == list(evidence.TRAINED)
    assert all(one.ok for one in found)
    told = {one.what: one.detail for one in found}
    assert told["image pull"] == "me/sft@sha256:00 on NVIDIA L4: SSH access 1:35 after the rental"
    assert told["training"] == "2 steps on NVIDIA L4, loss 2.500 -> 1.250"
    assert "0.002 nats" in told["self-test"]
    assert told["download"] == "2 files, each with the hash in the manifest"


def test_a_file_that_was_changed_after_the_download_breaks_it(tmp_path):
    record = a_run(tmp_path / "r")
    tensors = record.run.folder / "adapter" / "adapter_model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"!")
    assert {one.what: one.ok for one in of_training(record, None)}["download"] is False


@pytest.mark.parametrize(
    ("made", "broken"),
    [
        ({"reached": "created"}, "image pull"),
        ({"reached": "rent"}, "image pull"),
        ({"reached": "up"}, "host key pinned"),
        ({"reached": "start"}, "training"),
        ({"reached": "start", "probed": border.MAY_NOT_ACT}, "guard rehearsal"),
    ],
)
def test_the_first_without_evidence_is_broken_by_the_fault(made, broken, tmp_path):
    fault = ResultRejected("the cause", "a command")
    found = {one.what: one for one in of_training(a_run(tmp_path / "r", **made), fault)}
    names = list(evidence.TRAINED)
    place = names.index(broken)
    assert [found[name].ok for name in names[:place]] == [True] * place
    assert (found[broken].ok, found[broken].detail, found[broken].remedy) == (
        False,
        "the cause",
        "a command",
    )
    assert {found[name].ok for name in names[place + 1 :]} <= {None, True}


def figures(**changes):
    usual = {"run": "r", "tokens_per_second": 2000.0, "predicted_tokens_per_second": 2000.0,
             "peak_bytes": 11 * 10**9, "predicted_bytes": 10 * 10**9}  # fmt: skip
    return Measured(time=AT, card="NVIDIA L4", cards=1, model="m", parameters=3e9,
                    precision="bf16", seconds=1.0, **{**usual, **changes})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        # published runs reach 0.45 to 0.85 of the bound, 0.70 is predicted
        ({"tokens_per_second": 2000 * 0.86 / 0.70}, False),
        ({"tokens_per_second": 2000 * 0.84 / 0.70}, True),
        ({"tokens_per_second": 2000 * 0.46 / 0.70}, True),
        ({"tokens_per_second": 2000 * 0.44 / 0.70}, False),
        ({"peak_bytes": 11_100_000_000}, False),
        ({"peak_bytes": None}, False),
    ],
)
def test_a_card_holds_when_speed_and_memory_are_near_the_prediction(changes, held):
    assert of_card("card in bf16", figures(**changes), None).ok is held


def test_a_card_that_left_no_figures_is_broken_by_the_fault():
    found = of_card("card in nf4", None, ResultRejected("no card is free", "try later"))
    assert (found.ok, found.detail, found.remedy) == (False, "no card is free", "try later")


@pytest.mark.parametrize(
    ("charged", "settled", "held"),
    [((0.02, 0.03), (True, True), True), ((0.02, 0.03), (True, False), None),
     ((0.2, 0.3), (True, True), False)],
)  # fmt: skip
def test_the_bill_is_that_of_all_runs(charged, settled, held):
    receipts = [
        {"charged": paid, "quoted_most": 0.05, "settled": whole}
        for paid, whole in zip(charged, settled, strict=True)
    ]
    found = of_bill(receipts, "r")
    assert found.ok is held
    assert f"charged ${sum(charged):.4f}, quoted at most $0.10" in found.detail


def test_the_certificate_reads_back_and_one_broken_check_breaks_it(tmp_path):
    findings = of_training(
        a_run(tmp_path / "r", reached="start"), ResultRejected(f"{tmp_path}/r/a | b", "")
    )
    made = make(findings, now=AT, api="https://api.runpod.io", card="NVIDIA L4",
                measured=[figures()], receipts=[], paths={tmp_path: "live-check"})  # fmt: skip
    made.write(tmp_path)
    read = Certificate.model_validate_json((tmp_path / "certificate.json").read_bytes())
    assert read == made
    assert (made.state, made.made, made.api) == ("broken", "2027-01-15 08:00 UTC", "api.runpod.io")
    page = (tmp_path / "certificate.md").read_text("utf-8")
    assert "# NVIDIA L4, 2027-01-15 08:00 UTC: broken" in page
    assert "| training | broken | live-check/r/a / b |" in page
    assert "| download | skipped | not reached |" in page


def test_the_killed_launcher_gets_the_same_settings(tmp_path, world):
    """Judge: the parser of launch train, which that launcher has."""
    wanted = Settings(gpu="4090", max_cost=0.25, unguarded=True, build_args="CUDA=none A=b",
                      on_deadline="delete", image="x@sha256:0", disk=30)  # fmt: skip
    parser = Parser()
    train.add_flags(parser)
    assert load(given(parser.parse_args(flags(wanted))), world=world()) == wanted


def test_the_rows_can_be_trained_on(tmp_path):
    assert len(read_rows(write_short(tmp_path / "short.jsonl")).rows) == 8
    long = read_rows(write_long(tmp_path / "long.jsonl")).rows
    assert len(long) == 128
    characters = [sum(len(str(m["content"])) for m in row.messages) for row in long]
    assert 3000 < min(characters) <= max(characters) < 6000
    assert len({json.dumps(row.messages) for row in long}) > 20
