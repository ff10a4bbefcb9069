"""What a node's refusal means: split the range, wait, use another node, or stop.

Providers share neither codes nor words, so the words are matched. A wrong guess is safe: a fault
that is not recognised fails over to the next endpoint and then stops the read.
"""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto


class FaultKind(Enum):
    """What the caller can do about a fault."""

    TOO_LARGE = auto()  # ask for less
    QUOTA = auto()  # wait
    UNSUPPORTED = auto()  # use another method
    PRUNED = auto()  # use a node that keeps history
    REFUSED = auto()  # the node understood and said no
    FAILED = auto()  # no answer, or none that can be read: use another endpoint


@dataclass(frozen=True)
class Fault:
    """Why an endpoint gave no answer; *wait_s* is the pause that it asked for."""

    kind: FaultKind
    text: str
    wait_s: float | None = None


# "limit exceeded" with code -32005 is either of the first two, so size is looked for first.
_TOO_LARGE = re.compile(
    r"returned more than|too many (results|logs|blocks|calls|block)|matched by query exceeds"
    r"|ranges? (is )?(too|over|greater|exceed|limit)|range.{0,20}too (large|wide|big)"
    r"|max(imum)? (block )?(range|results)|up to an? [\d,.]+k? (block )?range"
    r"|limited to (an? )?[\d,.]+k?|(reduc|narrow|smaller).{0,20} range"
    r"|(response|result|content|batch|payload|body)\b.{0,30}(too (large|big|many)|exceed|limit)",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"rate.?limit|too many requests|quota|throttl|compute units|throughput"
    r"|(request|credit|capacity|daily|monthly|usage).{0,30}(limit|exceed|reached)",
    re.IGNORECASE,
)
_PRUNED = re.compile(
    r"missing trie node|pruned|historical state|state is not available|old data not available"
    r"|history.{0,40}(not available|unavailable|expired)",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"(method|tracer|namespace|module).{0,60}"
    r"(not (found|exist|supported|available|defined|whitelisted|allowed|enabled)|disabled"
    r"|unavailable|unsupported|unknown)|(unsupported|unknown) method",
    re.IGNORECASE,
)
# "limit exceeded" with code -32005 is either of the first two, so size is looked for first.
_WORDS = (
    (FaultKind.TOO_LARGE, _TOO_LARGE),
    (FaultKind.QUOTA, _QUOTA),
    (FaultKind.PRUNED, _PRUNED),
    (FaultKind.UNSUPPORTED, _UNSUPPORTED),
)
_CODES = {
    -32005: FaultKind.QUOTA,  # "limit exceeded" of EIP-1474
    -32029: FaultKind.QUOTA,
    429: FaultKind.QUOTA,
    -32601: FaultKind.UNSUPPORTED,
    -32004: FaultKind.UNSUPPORTED,  # "method not supported" of EIP-1474
}


def fault_of_error(code: int, message: str) -> Fault:
    """Return what a JSON-RPC error means."""
    text = f"error {code}: {message}"
    for kind, words in _WORDS:
        if words.search(message):
            return Fault(kind, text)
    return Fault(_CODES.get(code, FaultKind.REFUSED), text)


def fault_of_status(status: int, retry_after: str | None, date: str | None) -> Fault:
    """Return what an HTTP status other than 200 means; *date* is the answer's own Date header."""
    if status in (429, 503):
        return Fault(FaultKind.QUOTA, f"HTTP {status}", wait_of(retry_after, date))
    if status == 413:
        return Fault(FaultKind.TOO_LARGE, f"HTTP {status}")
    if status in (401, 403):
        return Fault(FaultKind.FAILED, f"HTTP {status}: check the key in the connection")
    return Fault(FaultKind.FAILED, f"HTTP {status}")


def wait_of(retry_after: str | None, date: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None where it says nothing usable.

    A date counts from the answer's own Date header, so this machine's clock does not matter.
    """
    if retry_after is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", retry_after.strip()):
        return float(retry_after)
    if date is None:
        return None
    try:
        until, answered = parsedate_to_datetime(retry_after), parsedate_to_datetime(date)
        return max(0.0, (until - answered).total_seconds())
    except (TypeError, ValueError):
        return None
