"""The view that suits stdout: a live picture on a terminal, plain lines elsewhere, JSON on request."""

import sys

from launcher.view.plain import JsonView, PlainView
from launcher.view.protocol import View
from launcher.world import World


def open_view(*, world: World, as_json: bool = False) -> View:
    """Choose the view; the live one, which is heavier, is only loaded where it is shown.

    What ``world`` waits for is shown there too.
    """
    view: View
    if as_json:
        view = JsonView(sys.stdout, world=world)
    elif not sys.stdout.isatty():
        view = PlainView(sys.stdout, world=world)
    else:
        from launcher.view.live import live_view

        view = live_view(world=world)
    world.report = view.say
    return view
