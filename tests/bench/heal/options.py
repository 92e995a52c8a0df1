"""What options may say. Used by the grammars of all scenarios; raises sentences that say what to
write.
"""

from argparse import ArgumentTypeError

FACTORS = {"k": 1_000, "M": 1_000_000}
UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0))


def count(text):
    """A positive whole number; 200k and 1M are understood."""
    factor = FACTORS.get(text[-1:], 1)
    digits = text if factor == 1 else text[:-1]
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise ArgumentTypeError(f"{text!r} is no count: write 20000, 20k or 1M")
    return int(digits) * factor


def counts(text):
    return [count(part) for part in text.split(",")]


def rate(text):
    """Operations a second; 0: as they are answered."""
    return 0 if text == "0" else count(text)


def percent(text):
    if not text.isascii() or not text.isdigit() or int(text) > 100:
        raise ArgumentTypeError(f"{text!r} is no percentage: write 0 to 100")
    return int(text)


def seconds(text):
    """A duration as piazza's own flags take it, in seconds."""
    for unit, factor in UNITS:
        number = text.removesuffix(unit)
        if number != text and number.isascii() and number.isdigit() and int(number) > 0:
            return int(number) * factor
    raise ArgumentTypeError(f"{text!r} is no duration: write 500ms, 3s or 2m")


def loads(text):
    """Kinds of load, by commas: none, closed, or writes a second."""
    for load in text.split(","):
        if load not in ("none", "closed") and not (load.isascii() and load.isdigit() and int(load)):
            raise ArgumentTypeError(f"{load!r} is no load: write none, closed, or 500 for a rate")
    return text.split(",")
