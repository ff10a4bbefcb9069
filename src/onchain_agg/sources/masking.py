"""URLs and texts that may hold keys: what is a URL, and what of it may be shown. Asks nothing."""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

# Keys are longer than any word that providers put in a path ("v2", "mainnet", "ethereum").
_SECRET_SEGMENT = 12
_LONG_SECRET = 8
_HTTP = frozenset({"http", "https"})


def is_http_url(value: object) -> bool:
    """Return whether *value* is a URL of a host over http or https."""
    return isinstance(value, str) and has_host(value) and urlsplit(value).scheme in _HTTP


def is_base_url(value: object) -> bool:
    """Return whether paths can be put behind *value*: an http or https URL without a query."""
    if not is_http_url(value):
        return False
    parts = urlsplit(str(value))
    return not parts.query and not parts.fragment


def has_host(url: str) -> bool:
    """Return whether *url* names a host, and a port that can be if any."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        # Its text repeats a piece of the URL, which may be of a password.
        return False


def masked(url: str) -> str:
    """Return *url*, which has a host, without user, query and path segments as long as keys."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    path = "/".join("***" if len(s) >= _SECRET_SEGMENT else s for s in parts.path.split("/"))
    return f"{parts.scheme}://{parts.hostname}{port}{path}".rstrip("/")


def keys_in(url: str) -> tuple[str, ...]:
    """Return all parts of *url* that may be keys, as they stand there and unquoted."""
    parts = urlsplit(url)
    words = [*re.split(r"[&=]", parts.query), *parts.path.split("/")]
    long_ones = [word for word in words if len(word) >= _SECRET_SEGMENT]
    quoted = filter(None, [parts.query, *long_ones, parts.password, parts.username])
    return tuple(sorted({form for key in quoted for form in (key, unquote(key))}))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without the *secrets*; a short one counts where it stands alone."""
    # Longest first, so that no part of a secret is left beside a mask.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        pattern = re.escape(secret)
        if len(secret) < _LONG_SECRET:
            # Masked inside words, a key of one letter would leave no word readable.
            pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
        text = re.sub(pattern, "***", text)
    return text
