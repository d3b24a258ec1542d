"""What tests of real programs share."""

from tests.browser import browser, browser_path, open_page

__all__ = ["browser", "browser_path", "open_page"]
