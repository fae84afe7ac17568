"""Content types by a file's name: the same on every machine, whatever its /etc/mime.types says."""

from __future__ import annotations

import mimetypes
import os.path
from typing import Final

# What Python's own table lacks in some version, or has with a name of old.
_TYPES: Final = {
    '.7z': 'application/x-7z-compressed',
    '.avif': 'image/avif',
    '.bz2': 'application/x-bzip2',
    '.gz': 'application/gzip',
    '.ico': 'image/vnd.microsoft.icon',
    '.js': 'text/javascript',
    '.json': 'application/json',
    '.log': 'text/plain',
    '.map': 'application/json',
    '.md': 'text/markdown',
    '.mjs': 'text/javascript',
    '.otf': 'font/otf',
    '.rar': 'application/vnd.rar',
    '.svg': 'image/svg+xml',
    '.tgz': 'application/gzip',
    '.ttf': 'font/ttf',
    '.wasm': 'application/wasm',
    '.webm': 'video/webm',
    '.webmanifest': 'application/manifest+json',
    '.webp': 'image/webp',
    '.woff': 'font/woff',
    '.woff2': 'font/woff2',
    '.xml': 'text/xml',
    '.xz': 'application/x-xz',
    '.zip': 'application/zip',
    '.zst': 'application/zstd',
}
_PYTHONS: Final = mimetypes.MimeTypes().types_map[True]


def content_type(name: str) -> str:
    """By the last extension only: `a.tar.gz` is a gzip file. Text is UTF-8."""
    extension = os.path.splitext(name)[1].lower()
    found = _TYPES.get(extension) or _PYTHONS.get(extension) or 'application/octet-stream'
    return f'{found}; charset=utf-8' if found.startswith('text/') else found
