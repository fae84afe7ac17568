"""Print the figures of the house: circles, large files, complex functions, words of prose, lines in all.

    python tests/house/figures.py

Complexity is ruff's C901 without regard to `noqa`; a docstring's and a comment's words are counted by
white space.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path

from rooms import ROOT, circles, import_graph

LARGE = 400


def main() -> int:
    """Print one figure a line."""
    files = sorted((ROOT / 'granian').rglob('*.py'))
    texts = {path: path.read_text(encoding='utf-8') for path in files}
    lines = {path: text.count('\n') for path, text in texts.items()}
    large = {path: count for path, count in lines.items() if count > LARGE}
    found = circles(import_graph())
    complexity = complex_functions()
    print(f'import circles               {len(found)}', *('   ' + ' '.join(c) for c in found), sep='\n')
    print(f'files                        {len(files)}, median {statistics.median(lines.values()):.0f} lines')
    print(f'files over {LARGE} lines          {len(large)}', *_rows(large), sep='\n')
    print(f'functions over complexity 10 {len(complexity)}', *('   ' + c for c in complexity), sep='\n')
    print(f'docstring words              {sum(map(docstring_words, texts.values()))}')
    print(f'comment words                {sum(map(comment_words, texts.values()))}')
    print(f'lines in all                 {sum(lines.values())}')
    return 0


def _rows(large: dict[Path, int]) -> list[str]:
    rows = sorted(large.items(), key=lambda row: -row[1])
    return [f'   {count} {path.relative_to(ROOT)}' for path, count in rows]


def complex_functions() -> list[str]:
    """Return `path:line: message` for each function over complexity 10, those with a noqa too."""
    command = ['ruff', 'check', '--select', 'C901', '--ignore-noqa', '--output-format', 'json', 'granian']
    report = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True)
    if not report.stdout:
        sys.exit(f'ruff is needed (pip install ruff): {report.stderr.strip()}')
    rows = json.loads(report.stdout)
    return [f'{Path(r["filename"]).relative_to(ROOT)}:{r["location"]["row"]}: {r["message"]}' for r in rows]


def docstring_words(text: str) -> int:
    """Return the number of words in the docstrings of modules, classes, functions and attributes."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    values = [node.value for node in nodes if isinstance(node.value, ast.Constant)]
    return sum(len(value.value.split()) for value in values if isinstance(value.value, str))


def comment_words(text: str) -> int:
    """Return the number of words in comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(len(t.string.lstrip('#').split()) for t in tokens if t.type == tokenize.COMMENT)


if __name__ == '__main__':
    sys.exit(main())
