"""Credentials never appear in messages, tables or pages."""

from __future__ import annotations

import os
import re

_NAMES = r"(?:secret|token|passw(?:or)?d|credentials?|signature|access_?key|api_?key|account_?key|sas)"
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_PATTERNS = (
    # user:password@, in any address
    (re.compile(r"(\b[\w+.-]+://)[^/\s@]+(?:/[^\s@]*)?@(?=[\w\[])"), r"\1"),
    # the signature of a presigned address is in its query
    (re.compile(r"(\b[\w+.-]+://[^\s?'\"<>]*)\?[^\s'\"<>]+"), r"\1?..."),
    (re.compile(rf"(?i)(\b\w*{_NAMES}\w*['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]+"), r"\1***"),
    (re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?)[^'\",;\n]+"), r"\1***"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "***"),
)


def redacted(text: str) -> str:
    """A text without what may be a credential: user and query of addresses, keys, the environment's."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
