"""`launch doctor --live`, whole, against the emulator: a few rented pods, real SSH, a killed launcher."""

import pytest

from launcher.live_check.certificate import Certificate
from tests.system.laptop import CODE, Laptop

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

# A minute for the pod whose launcher is killed.
HASTE = {
    "launcher.quote.run_cost.SHORTEST": 30,
    "launcher.quote.run_cost.SLACK": 10,
    "launcher.live_check.check.KILLED_HOURS": 0.02,
}
HELD = (
    "key", "api", "clock", "image pull", "host key pinned", "guard rehearsal", "training", "self-test",
    "download", "the pod ends itself", "deletion", "bill",
)  # fmt: skip


@pytest.fixture
def hasty(runpod, tmp_path):
    """A laptop on which every `launch`, also one that another starts, has less patience."""
    runpod.billing.lag = 0.0
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"import sys\n"
        f"if sys.argv[:1] != ['']:\n"
        f"    from tests.system.altered import apply\n"
        f"    apply({HASTE!r})\n"
    )
    found = Laptop(
        tmp_path,
        {
            "RUNPOD_API_BASE_URL": runpod.url,
            "RUNPOD_API_KEY": runpod.keys.account,
            "PYTHONPATH": f"{site}:{CODE}",
        },
    )
    yield found
    found.close()


def test_each_promise_is_held_and_certified(hasty, runpod, sft_image, tmp_path):
    work = hasty.launch(
        "doctor",
        "--live",
        "--gpu",
        "A10G",
        "--max-cost",
        "0.50",
        "--image",
        sft_image,
        "--grace",
        "1",
    )
    assert work.ended(seconds=600) == 0, work.said
    (path,) = tmp_path.glob("live-check/*/certificate.json")
    found = Certificate.model_validate_json(path.read_text("utf-8"))
    states = {one.what: one.state for one in found.checks}
    assert {name: states.get(name) for name in HELD} == dict.fromkeys(HELD, "held"), work.said
    for precision in ("bf16", "nf4"):
        assert f"skipped  card in {precision}: no card: the pod trained on cpu" in work.said
    assert found.state == "held"
    page = path.with_suffix(".md").read_text("utf-8")
    for text in (work.said, page, path.read_text("utf-8")):
        assert runpod.keys.account not in text
    assert str(tmp_path) not in page + path.read_text("utf-8")
    # The emulator's own books: two pods, both gone, and billed below what the certificate allows.
    pods = list(runpod.pods.all.values())
    assert [pod.status for pod in pods] == ["TERMINATED"] * 2
    dollars = sum(runpod.billing.dollars(pod.id) for pod in pods)
    assert sum(one["charged"] for one in found.receipts) == pytest.approx(dollars, abs=1e-3)
    assert dollars < 0.50
    killed = pods[-1]
    ((_, end),) = runpod.billing.gpu_spans(killed.id)
    assert end <= float(killed.settings.env["SFT_GONE_BY"]) + 10
    acts = [one for one in runpod.requests if one.operation in {"delete", "action"}]
    assert {one.caller for one in acts if killed.id in one.path} == {"pod"}, "it deleted itself"
    assert not list((tmp_path / "state" / "sft-launch" / "keys").iterdir())
