"""The view that suits stdout: a live picture on a terminal, plain lines elsewhere, JSON on request."""

import sys

from launcher.view.plain import JsonView, PlainView
from launcher.view.protocol import View
from launcher.world import World


def open_view(*, world: World, as_json: bool = False) -> View:
    """Choose the view; the live one, which is heavier, is only loaded where it is shown."""
    if as_json:
        return JsonView(sys.stdout, world=world)
    if not sys.stdout.isatty():
        return PlainView(sys.stdout, world=world)
    from launcher.view.live import live_view

    return live_view(world=world)
