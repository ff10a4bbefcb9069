"""Column types that hold chain values exactly."""

from sqlalchemy import BigInteger, Date, DateTime, Dialect, LargeBinary, Numeric, Text
from sqlalchemy.dialects import postgresql

# For statements that are read as text; SQLAlchemy leaves the constructor untyped.
DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

# Holds 2**256 - 1 (78 digits) with its sign; PostgreSQL raises where a sum goes beyond.
UINT256 = Numeric(78, 0)
# A sum of products (coin-seconds, rank times balance) may go beyond 78 digits.
BIG = Numeric()
HASH = LargeBinary
ADDRESS = LargeBinary
TIME = DateTime(timezone=True)
DAY = Date
NAME = Text
HEIGHT = BigInteger
