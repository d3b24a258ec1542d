"""Templates to pages that need no network: style and script are in the page, and nothing else may run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Inline:
    """The style and the script of a page, and the policy that allows these two and no others."""

    style: Markup
    script: Markup
    policy: str
    """For ``Content-Security-Policy``. Films may come from beside the page, or from the page itself."""

    @classmethod
    def of(cls, styles: Sequence[str], scripts: Sequence[str]) -> Inline:
        """Join files of ``styles/`` and of ``scripts/``, by their names without the ending, in this order."""
        style = _joined(_HERE / "styles", styles, ".css")
        script = f'(() => {{\n"use strict";\n{_joined(_HERE / "scripts", scripts, ".js")}}})();\n'
        # Browsers give a page of the file system no origin, so 'self' alone would not let it play a film.
        films = "'self' file: data:"
        policy = (
            f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; "
            f"img-src {films}; media-src {films}; base-uri 'none'; form-action 'none'"
        )
        return cls(Markup(style), Markup(script), policy)


def _joined(folder: Path, names: Sequence[str], ending: str) -> str:
    return "".join((folder / f"{name}{ending}").read_text(encoding="utf-8") for name in names)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def environment() -> jinja2.Environment:
    """Return the templates: what they are given is escaped, and a name that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **context: object) -> str:
    """Return the text of ``templates/``\\ *template* with the values of *context*."""
    return environment().get_template(template).render(**context)
