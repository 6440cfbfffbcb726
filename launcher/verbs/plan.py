"""`launch plan`: a job and its rows, sized for this machine's card and every one that RunPod has."""

import argparse

EXAMPLES = (
    "launch plan --data chats.jsonl",
    "launch plan --recipe qwen2.5-7b --cards 2 --data chats.jsonl",
    "launch plan --data chats.jsonl --epochs 1 --json",
)
FIRST = ("--data", "--model", "--recipe", "--epochs", "--cards")


def add_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings
    from trainer.contract.job import add_flags

    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument(
        "--cards", type=int, default=1, metavar="N", help="number of cards in the pod (default: 1)"
    )
    add_flags(parser)
    settings.add_flags(parser, only=("disk", "mount", "volume"))


def run(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.quote import catalog
    from launcher.quote.compare_gpus import compare, local, several, table
    from launcher.quote.estimate import training_size
    from launcher.quote.local_gpus import local_cards
    from launcher.quote.run_cost import at_day, one_at_a_time
    from launcher.runs.new_run import names_no_data, read_inputs
    from launcher.view.choose_view import open_view
    from launcher.world import World
    from trainer.contract.command.errors import Usage, joined
    from trainer.contract.job import from_sources, given_flags

    if options.cards < 1:
        raise Usage(f"--cards {options.cards}: a pod has at least one card", "write --cards 1")
    world = World()
    wanted = settings.load(settings.given(options), world=world)
    job = from_sources(options.recipe, options.set, given_flags(options))
    data, faults = read_inputs(job)
    faults = faults[int(names_no_data(job)) :]
    if faults:
        raise joined(faults)
    what = training_size(job, data, world=world)
    lines = local(what, local_cards(world), count=options.cards)
    with open_view(world=world, as_json=options.json) as view:
        found, fault = catalog.read(world, count=options.cards)
        rented = compare(what, found, wanted, count=options.cards)
        lines += rented if options.cards > 1 else several(rented, what, found, wanted)
        if fault is not None:
            when = f"prices of {at_day(found.read_at)}" if found.priced else "no prices"
            view.say(f"{when}: {fault.cause}")
            view.say(f"  -> {fault.hint}")
        facts = {
            "read_at": found.read_at if found.priced else None,
            "live": fault is None,
            "typical": data is None,
            "cards": [line.facts() for line in lines],
        }
        shown = [*table(lines, what), *one_at_a_time(what.alone)]
        if found.priced:
            shown.append(f"$/h: RunPod's, read {at_day(found.read_at)}")
        if data is None:
            shown.append("for your rows: launch plan --data FILE")
        view.result({"state": "planned", "exit_code": 0, **facts}, shown)
    return 0
