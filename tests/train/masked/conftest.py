"""One thread for the tests of this package."""

from tests.one_thread import one_thread

__all__ = ["one_thread"]
