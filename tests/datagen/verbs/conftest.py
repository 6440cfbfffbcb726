"""The sandbox that the tests of it share."""

from tests.datagen.sandbox.conftest import box, csv  # noqa: F401 fixtures
