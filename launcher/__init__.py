"""Runs on the user's machine: starts runs, follows them and downloads results. Never imports torch."""


def installed_version() -> str:
    """The version of the installed package; "unknown" for a clone that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sft-launch")
    except PackageNotFoundError:
        return "unknown"
