"""Which pods are asked for, in which order, and what a pod whose host fails costs and leads to."""

import json

import pytest

from launcher.doctor import add_volume
from launcher.errors import NoCapacity, OverBudget, PodFailed
from launcher.pod.boot import BadHost, driver_too_old
from launcher.request import Request
from launcher.runpod_api import Availability
from launcher.runpod_api.answers import DataCenter, Volume
from launcher.runs import run_folder
from launcher.runs.run_state import read
from launcher.train import train
from trainer.contract import pod as border
from trainer.contract.command.errors import TrainingFailed, Usage

A5000, R3090 = "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"


def asked(account):
    return [(request.gpu_id, request.data_centers) for request in account.created]


def in_centres(account, **stock):
    """Let every card be in these data centres: name and availability, with _ for -."""
    where = tuple(
        Availability(id=name.replace("_", "-"), availability=free) for name, free in stock.items()
    )
    account.gpus = [gpu.model_copy(update={"data_centers": where}) for gpu in account.gpus]


def test_a_card_that_is_nowhere_free_is_asked_for_by_data_centre(account, begin, view):
    in_centres(account, EU_CZ_1="LOW", US_KS_2="HIGH", US_TX_3="NONE")
    account.refuse[A5000] = [NoCapacity("none left")] * 3
    begin()
    assert asked(account) == [
        (A5000, ()),
        (A5000, ("US-KS-2",)),
        (A5000, ("EU-CZ-1",)),
        (R3090, ()),
    ]
    assert f"{A5000}: none left" in view.lines
    assert f"{A5000} in US-KS-2: the same" in view.lines
    assert f"{A5000} in EU-CZ-1: the same" in view.lines
    assert len({request.name for request in account.created}) == 4


def test_a_data_centre_that_has_it_after_all_is_taken(account, begin):
    in_centres(account, US_KS_2="LOW")
    account.refuse[A5000] = [NoCapacity("none left")]
    real = account.create_pod

    def create(request):
        if request.data_centers:
            account.refuse.clear()
        return real(request)

    account.create_pod = create
    assert begin().manifest.complete
    assert asked(account) == [(A5000, ()), (A5000, ("US-KS-2",))]


@pytest.mark.parametrize(
    "said",
    [
        ["failed to register layer: no space left on device"],
        ["nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0"],
        [],  # the pull hangs
    ],
)
def test_a_host_that_fails_at_boot_is_let_go_and_the_next_card_is_tried(
    account, begin, view, project, said
):
    account.bad_hosts[A5000] = said
    outcome = begin()
    assert outcome.manifest.complete
    first, second = account.machines.values()
    assert (first.status, second.status) == ("TERMINATED", "TERMINATED")
    assert first.ended <= second.born, "never two at once"
    assert second.request.gpu_id == R3090
    assert any("trying another card" in line for line in view.lines)
    assert first.request.env["PUBLIC_KEY"] != second.request.env["PUBLIC_KEY"]
    bill = json.loads((outcome.run.folder / "receipt.json").read_text())
    assert bill["pods"] == ["pod1", "pod2"]
    spans = [machine.ended - machine.born for machine in (first, second)]
    assert bill["charged"] == pytest.approx(sum(spans) / 3600 * 0.2755, abs=1e-3)
    assert bill["seconds"] == pytest.approx(sum(spans), abs=3)
    assert any("2 pods" in line for line in view.lines if line.startswith("receipt"))


def test_a_driver_older_than_the_catalog_said_is_a_host_that_fails(account, begin, view):
    account.smi = "NVIDIA-SMI 550.1  Driver Version: 550.1  CUDA Version: 12.4"
    with pytest.raises(NoCapacity, match="no card is left"):
        begin()
    assert [request.gpu_id for request in account.created] == [A5000, R3090]
    assert not account.alive()
    assert sum("driver for CUDA 12.4" in line for line in view.lines) == 2


@pytest.mark.parametrize(
    ("told", "old"),
    [
        ("CUDA Version: 13.0", None),
        ("CUDA Version: 13.2", None),
        ("CUDA UMD Version: 12.8", "12.8"),
        ("CUDA Version: 12.4", "12.4"),
        ("sh: nvidia-smi: not found", None),
    ],
)
def test_what_nvidia_smi_tells(told, old):
    assert driver_too_old(told, "13.0") == old


def test_an_image_that_cannot_be_pulled_is_not_pulled_elsewhere(account, begin):
    account.system = ["error pulling image: manifest unknown"]
    with pytest.raises(PodFailed) as caught:
        begin()
    assert not isinstance(caught.value, BadHost)
    assert len(account.created) == 1


def test_what_a_failed_host_has_cost_is_not_spent_again(account, begin):
    account.bad_hosts[A5000] = []
    begin(max_cost=0.5)
    first, second = (border.PodSettings.from_env(r.env) for r in account.created)
    born = [machine.born for machine in account.machines.values()]
    lost = (account.machines["pod1"].ended - born[0]) / 3600 * 0.2788
    left = (second.gone_by + 60 - born[1]) / 3600 * 0.5088
    assert lost > 0.04
    assert 0.5 * 0.98 < lost + left < 0.5 * 1.01
    assert first.gone_by > 0


def test_max_cost_counts_what_earlier_attempts_have_cost(account, begin, project, world, view):
    account.behaviour = "hang"
    with pytest.raises(TrainingFailed):
        begin(max_cost=0.1)
    before = read(run_folder.Run("a", project / "runs" / "a").journal).spent(world.now())
    assert 0.05 < before < 0.1
    with pytest.raises(OverBudget, match="already spent by earlier attempts") as caught:
        train(Request(resume="a"), world=world, view=view)
    assert float(caught.value.hint.split("--max-cost ")[1].split()[0]) > before
    assert len(account.created) == 1


def test_a_volume_that_is_not_there_is_told_with_the_line_that_makes_it(account, begin):
    in_centres(account, US_KS_2="HIGH", EU_RO_1="LOW")
    account.centres = [
        DataCenter(id="US-KS-2"),
        DataCenter(id="EU-RO-1", volume_types=("STANDARD",)),
    ]
    with pytest.raises(Usage) as caught:
        begin(volume="big")
    assert "launch doctor --add-volume big --data-center EU-RO-1 --mount 40" in caught.value.hint
    assert not account.created


def test_a_volume_keeps_pods_in_its_data_centre(account, begin, world):
    line = add_volume("big", "EU-RO-1", 40, world=world)
    assert "40 GB in EU-RO-1" in line
    near = account.gpus[1].model_copy(
        update={"data_centers": (Availability(id="EU-RO-1", availability="HIGH"),)}
    )
    far = account.gpus[0].model_copy(
        update={"data_centers": (Availability(id="US-KS-2", availability="HIGH"),)}
    )
    account.gpus = [far, near]
    assert begin(volume="big").manifest.complete
    assert asked(account) == [(R3090, ("EU-RO-1",))]
    assert account.created[0].volume_id == "vol-big"
    with pytest.raises(Usage, match="needs a data center"):
        add_volume("more", None, 40, world=world)


def test_a_volume_far_from_every_card_is_told(account, begin):
    account.stored = [Volume(id="v", name="big", size=40, data_center="EU-RO-1")]
    in_centres(account, US_KS_2="HIGH")
    with pytest.raises(NoCapacity) as caught:
        begin(volume="big")
    assert f"{A5000}: not free in EU-RO-1, where big is" in caught.value.faults
