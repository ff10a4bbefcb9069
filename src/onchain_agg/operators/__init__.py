"""RUN: thin tasks. Each reads its arguments, calls the library and translates its errors."""
