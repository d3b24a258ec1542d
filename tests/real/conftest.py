"""What tests of real programs share."""

from tests.browser import browser, browser_path, open_page
from tests.integration.conftest import suite

__all__ = ["browser", "browser_path", "open_page", "suite"]
