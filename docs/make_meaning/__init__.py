"""The pictures and the numbers of docs/meaning.md; see `docs.make_meaning.__main__`."""
