import runpy
from pathlib import Path

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
fake, slept, api = FAKE["fake"], FAKE["slept"], FAKE["api"]
