"""Names of files as text: a name that is not UTF-8 is shown with its bytes escaped."""


def printable(name: str) -> str:
    r"""Return a file name as text that can be printed, stored and encoded.

    Python holds the bytes of a name that is not UTF-8 as lone surrogates, which no encoding
    accepts; the name `caf\xe9` of Latin-1 becomes the text `caf\\xe9`. Other names are unchanged.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
