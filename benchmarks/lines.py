"""How long the package is, and how long its core: what has to be read to understand the rest.

    python benchmarks/lines.py

The core is the session, the model of a job, the seams, the rollout, the records and the terminal. All else is
a leaf: it can be read when it is needed. A line counts as code unless it is blank, a comment, an import or
part of a docstring.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pytest_arena"
CORE = {
    "session": ["plugin.py", "options.py", "hookspecs.py", "errors.py", "session/*"],
    "model of a job": ["jobs/model.py", "jobs/sections.py", "jobs/loader.py"],
    "seams": [
        *(
            f"simulators/{name}.py"
            for name in ("array_types", "base", "cameras", "env_check", "pool", "registry")
        ),
        "policies/base.py",
        "policies/registry.py",
    ],
    "rollout": ["rollout/*", *(f"evaluation/{name}.py" for name in ("judge", "run_job", "verdict"))],
    "records": [
        *(
            f"records/{name}.py"
            for name in ("attempt", "episodes", "files", "interrupted_attempt", "judgement")
        ),
        *(f"records/{name}.py" for name in ("manifest", "run_directory", "schema", "to_plain")),
    ],
    "terminal": [f"reports/{name}.py" for name in ("progress_line", "pytest_reporter", "terminal")],
}


def kinds(path: Path) -> Counter[str]:
    """Return how many lines of *path* are code, docstring, import, comment and blank."""
    text = path.read_text()
    kind = [
        "blank" if not line.strip() else "comment" if line.strip().startswith("#") else "code"
        for line in text.splitlines()
    ]
    for node in ast.walk(ast.parse(text)):
        found = None
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found = "docstring"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found = "import"
        if found is not None:
            assert isinstance(node, ast.stmt)
            last = node.end_lineno or node.lineno
            kind[node.lineno - 1 : last] = [found] * (last - node.lineno + 1)
    return Counter(kind)


def table(parts: dict[str, list[Path]]) -> None:
    """Print a row a part, and their sum."""
    total: Counter[str] = Counter()
    for name, paths in parts.items():
        counts = sum(map(kinds, paths), Counter())
        total += counts
        print(f"| {name} | {len(paths)} | {counts.total():,} | {counts['code']:,} |")
    files = sum(map(len, parts.values()))
    print(f"| **together** | {files} | {total.total():,} | {total['code']:,} |")


def main() -> None:
    """Print the core, then the leaves by folder."""
    core = {
        name: [p for pattern in patterns for p in PACKAGE.glob(pattern)] for name, patterns in CORE.items()
    }
    core = {name: [path for path in paths if path.suffix == ".py"] for name, paths in core.items()}
    counted = {path for paths in core.values() for path in paths}
    leaves: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path not in counted:
            parts = path.relative_to(PACKAGE).parts
            leaves.setdefault(parts[0] + ("/" if len(parts) > 1 else ""), []).append(path)
    for title, parts_of in (("core", core), ("leaves", leaves)):
        print(f"\n| {title} | modules | lines | of these code |\n|---|---|---|---|")
        table(parts_of)


if __name__ == "__main__":
    main()
