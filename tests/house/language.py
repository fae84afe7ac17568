"""Find docstrings, comments, messages and pages that break the language rules of CONTRIBUTING.md.

    python tests/house/language.py [PATH …]     default: granian tests docs README.md CONTRIBUTING.md

Prints a line for each place and exits with 1 when there is one.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ('granian', 'tests', 'docs', 'README.md', 'CONTRIBUTING.md')
WITH_THE_WORDS = {ROOT / 'tests/house/language.py', ROOT / 'tests/house/test_language.py'}

# Words that hide the actor or the thing (rules 3 to 5), each with the plain word to look for.
UNPLAIN = {
    'nobody': 'name the actor: no thread, no handler, no client',
    'somebody': 'name the actor',
    'whoever': 'name the actor: the owner, the leader, the caller',
    'anew': 'again',
    'told of': 'notified of',
    'what came': 'buffered bytes, input',
    'what comes': 'input, the next bytes',
    'what waits': 'pending connections, unsent output',
    'binned': 'discarded',
    'buries': 'reaps',
    'buried': 'reaped',
    'bury': 'reap',
}
_UNPLAIN = re.compile(r'\b(' + '|'.join(UNPLAIN) + r')\b', re.IGNORECASE)

# A function's docstring begins with an imperative verb (rule 1). These first words are not one.
_NO_VERB = frozenset(
    [
        'A',
        'After',
        'All',
        'An',
        'And',
        'Any',
        'Are',
        'As',
        'At',
        'Back',
        'Be',
        'Before',
        'Between',
        'Both',
        'But',
        'By',
        'Bytes',
        'Connections',
        'Done',
        'Each',
        'Either',
        'Every',
        'Everything',
        'Exactly',
        'False',
        'For',
        'Frames',
        'From',
        'Functions',
        'Half',
        'Headers',
        'How',
        'If',
        'In',
        'Is',
        'It',
        'Its',
        'Large',
        'Larger',
        'Least',
        'Less',
        'Longest',
        'More',
        'Most',
        'Names',
        'Near',
        'Never',
        'Next',
        'No',
        'None',
        'Not',
        'Nothing',
        'Of',
        'Old',
        'Oldest',
        'On',
        'Once',
        'One',
        'Only',
        'Or',
        'Other',
        'Our',
        'Out',
        'Part',
        'References',
        'Requests',
        'Responses',
        'Same',
        'Seconds',
        'Since',
        'So',
        'Some',
        'That',
        'The',
        'Their',
        'There',
        'These',
        'This',
        'Those',
        'Threads',
        'Through',
        'Time',
        'To',
        'True',
        'Two',
        'Under',
        'Until',
        'Up',
        'Values',
        'What',
        'When',
        'Where',
        'Whether',
        'Which',
        'While',
        'Who',
        'Whose',
        'Why',
        'With',
        'Without',
        'Writes',
    ]
)
_ENDS_IN_S = frozenset(
    [
        'Access',
        'Address',
        'Bypass',
        'Compress',
        'Cross',
        'Discuss',
        'Dismiss',
        'Express',
        'Focus',
        'Guess',
        'Pass',
        'Press',
        'Process',
    ]
)


def places(paths: list[Path]) -> Iterator[str]:
    """Yield `file:line: reason` for each place under the paths that breaks a rule."""
    for path in _files(paths):
        if path in WITH_THE_WORDS:
            continue
        text = path.read_text(encoding='utf-8')
        found = _in_python(text) if path.suffix == '.py' else _in_page(text)
        for line, reason in sorted(found):
            shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            yield f'{shown}:{line}: {reason}'


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(_below(path)) if path.is_dir() else [path]


def _below(top: Path) -> Iterator[Path]:
    """Yield the modules and pages below a folder, but for hidden folders, such as environments of proofs."""
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith('.')]
        yield from (Path(folder, name) for name in names if name.endswith(('.py', '.md')))


def _in_python(text: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _first_word(node)
    if not _UNPLAIN.search(text):  # nearly all files: names, strings and comments need not be told apart
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _words(node.lineno, node.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from _words(token.start[0], token.string)


def _in_page(text: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.startswith('```')
        if not fenced:
            yield from _words(number, line)


def _words(line: int, text: str) -> Iterator[tuple[int, str]]:
    for match in _UNPLAIN.finditer(text):
        word = match[1].lower()
        if text == 'nobody':  # the account of that name, `user='nobody'`
            continue
        yield line + text.count('\n', 0, match.start()), f'"{word}": {UNPLAIN[word]}'


def _first_word(node: (ast.FunctionDef, ast.AsyncFunctionDef)) -> Iterator[tuple[int, str]]:
    docstring = ast.get_docstring(node)
    if not docstring or any('property' in ast.unparse(d) for d in node.decorator_list):
        return
    first = docstring.split(maxsplit=1)[0].rstrip(',.:;')
    verb = re.fullmatch('[A-Z][a-z-]+', first) and first not in _NO_VERB
    if not verb or (first.endswith('s') and first not in _ENDS_IN_S):
        yield node.body[0].lineno, f'{node.name}: a docstring begins with an imperative verb, not "{first}"'


def main(arguments: list[str]) -> int:
    """Print the places and return the exit status."""
    found = list(places([(Path.cwd() / a).resolve() for a in arguments] or [ROOT / p for p in DEFAULT]))
    for place in found:
        print(place)
    print(f'{len(found)} places')
    return bool(found)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
