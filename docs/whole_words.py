"""MkDocs' hook for inline code: an option stays in one piece, where browsers break lines at its dashes."""

import re
from typing import Any

LONGEST = 45
"""Characters of a word that fits into a column on a phone; a longer one may be broken."""


def on_page_content(html: str, **_: Any) -> str:
    """Mark each word with a dash in inline code, which `style.css` keeps whole."""
    parts = re.split(r'(<pre.*?</pre>)', html, flags=re.DOTALL)
    parts[::2] = [re.sub(r'<code>([^<]*)</code>', _mark_words, part) for part in parts[::2]]
    return ''.join(parts)


def _mark_words(code: re.Match[str]) -> str:
    return '<code>' + re.sub(r'\S+', _mark_word, code[1]) + '</code>'


def _mark_word(word: re.Match[str]) -> str:
    text = word[0]
    return f'<span class="whole">{text}</span>' if '-' in text and len(text) <= LONGEST else text
