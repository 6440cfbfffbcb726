"""Names of cards: which RunPod cards a name means, and in which order to try them.

Sizes and names only; prices, stock and CUDA versions are read from the live catalog.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from launcher.runpod_api.answers import Catalog, Gpu
from trainer.contract.command.errors import Usage
from trainer.contract.sizing import cards

# RunPod's cards, those that a name means, and its cards with the A10G's memory.
CARDS = {name: card for name, card in cards.CARDS.items() if card.runpod}
NAMES: dict[str, tuple[str, ...]] = {}
for _id, _card in CARDS.items():
    NAMES |= {name: (*NAMES.get(name, ()), _id) for name in _card.names}
LIKE_A10G = tuple(name for name, card in CARDS.items() if card.memory == 24)
NOT_THERE: dict[str, tuple[tuple[str, ...], str]] = {
    name: (LIKE_A10G, f"RunPod has no {said}: taking the cheapest of its 24 GB cards that is free")
    for name, said in (("a10g", "A10G"), ("a10", "A10"))
}
STOCK = {"HIGH": 0, "MEDIUM": 1, "LOW": 2}


@dataclass(frozen=True)
class WantedCards:
    """The cards that ``--gpu`` names; ``note`` is shown when another card is taken instead.

    ``absent`` is then the name of the card that RunPod does not offer.
    """

    text: str
    ids: tuple[str, ...]
    count: int
    note: str = ""
    absent: str = ""


@dataclass(frozen=True)
class Candidate:
    """A card that can be tried now; ``rate`` is USD per hour for all cards of the pod, without disk."""

    gpu: Gpu
    rate: float
    note: str


@dataclass(frozen=True)
class Choice:
    """``ranked``: the order to try. ``dropped``: RunPod id and reason, in order of the name."""

    ranked: tuple[Candidate, ...]
    dropped: tuple[tuple[str, str], ...]


def resolve(text: str, known: Iterable[Gpu] = ()) -> WantedCards:
    """Read ``4090``, ``RTX A5000``, ``A100:4``, a RunPod id, or a name or id of a card in ``known``.

    Raises ``Usage`` with the nearest names.
    """
    name, colon, number = text.strip().rpartition(":")
    if not colon:
        name, number = number, "1"
    if not re.fullmatch(r"[1-9]\d?", number.strip()):
        raise Usage(f"--gpu {text}: {number!r} is not a number of cards", "write it as A100:4")
    count = int(number)
    plain = _plain(name)
    if plain in NOT_THERE:
        ids, note = NOT_THERE[plain]
        return WantedCards(text, ids, count, note, plain.upper())
    names = {_plain(card): (card,) for card in CARDS} | NAMES
    for gpu in known:
        names.setdefault(_plain(gpu.id), (gpu.id,))
        names.setdefault(_plain(gpu.name), (gpu.id,))
    if plain in names:
        return WantedCards(text, names[plain], count)
    near = difflib.get_close_matches(plain, [*NAMES, *NOT_THERE], n=4, cutoff=0.4)
    hint = ", ".join(_spoken(found) for found in near or NAMES)
    raise Usage(
        f"--gpu {text}: unknown card", f"{'nearest names' if near else 'known cards'}: {hint}"
    )


def candidates(wanted: WantedCards, catalog: Catalog, *, min_cuda: str) -> Choice:
    """Rank the wanted cards: the cheapest first, at one price the best stocked.

    ``min_cuda`` is ``major.minor``: a card none of whose free hosts has it is dropped.
    """
    gpus = {gpu.id: gpu for gpu in catalog.gpus}
    ranked: list[Candidate] = []
    dropped: list[tuple[str, str]] = []
    for card_id in wanted.ids:
        gpu = gpus.get(card_id)
        reason = "not in RunPod's catalog" if gpu is None else _against(gpu, wanted.count, min_cuda)
        if gpu is None or reason:
            dropped.append((card_id, reason))
        else:
            note = CARDS[card_id].note if card_id in CARDS else ""
            ranked.append(Candidate(gpu, gpu.secure_price * wanted.count, note))
    ranked.sort(key=lambda found: (found.rate, STOCK.get(found.gpu.availability, len(STOCK))))
    return Choice(tuple(ranked), tuple(dropped))


def reach(wanted: WantedCards, catalog: Catalog, flavours: Iterable[str]) -> dict[str, int]:
    """How many of the wanted kinds of card can be had now with an image for each CUDA flavour."""
    return {
        cuda: len(candidates(wanted, catalog, min_cuda=cuda).ranked)
        for cuda in sorted(flavours, key=_version)
    }


def within(choice: Choice, centre: str, reason: str) -> Choice:
    """The cards of a choice that a data center has; a card without that information stays."""
    out = [
        found.gpu.id
        for found in choice.ranked
        if found.gpu.data_centers and centre not in centres(found.gpu)
    ]
    kept = tuple(found for found in choice.ranked if found.gpu.id not in out)
    return Choice(kept, (*choice.dropped, *((card, reason) for card in out)))


def centres(gpu: Gpu) -> tuple[str, ...]:
    """The data centres that have the card free now, the best stocked first."""
    free = [centre for centre in gpu.data_centers if centre.availability in STOCK]
    return tuple(c.id for c in sorted(free, key=lambda centre: STOCK[centre.availability]))


def _against(gpu: Gpu, count: int, min_cuda: str) -> str:
    if not gpu.secure or gpu.secure_price <= 0:
        return "not offered on Secure Cloud"
    if gpu.max_count and count > gpu.max_count:
        return f"at most {gpu.max_count} in one pod"
    if gpu.availability == "NONE":
        return "none free right now"
    new_enough = [free for version, free in gpu.cuda.items() if _at_least(version, min_cuda)]
    if not new_enough:
        versions = sorted(filter(_version, gpu.cuda), key=_version)
        newest = f"at most {versions[-1]}" if versions else "no known CUDA version"
        return f"its hosts have {newest}, the image needs CUDA {min_cuda}"
    if not any(new_enough):
        return f"none free right now on a host with CUDA {min_cuda}"
    return ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+(\.\d+)*", text) else ()


def _at_least(version: str, floor: str) -> bool:
    return _version(version) >= _version(floor)


def _plain(name: str) -> str:
    """Lower case, no spaces and signs, no maker's or family's words, no "GB": ``RTX-4090`` is ``4090``."""
    characters = re.sub(r"[^a-z0-9]+", " ", name.lower())
    words = (re.sub(r"(?<=\d)gb$", "", word) for word in characters.split())
    dull = {"nvidia", "geforce", "rtx", "tesla", "generation", "gpu"}
    plain = "".join(word for word in words if word not in dull)
    return re.sub(r"^(geforce)?rtx(?=[a\d])", "", plain)


def _spoken(plain: str) -> str:
    return plain.replace("sxm", " sxm").replace("pcie", " pcie").replace("ada", " ada").upper()
