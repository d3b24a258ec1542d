"""Write ``messages.txt`` anew."""

from tests.messages.reviewed import FILE, as_text, found

FILE.write_text(as_text(found()))
