# SPDX-License-Identifier: Apache-2.0
"""Sizes that a recipe gives, looked at when it is parsed: the program would tell after all downloads."""

import re

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
# A smaller one forgot its unit.
_SMALLEST = 1024**2
# A smaller headroom forgot its percent sign; none is no mistake.
_LEAST_HEADROOM = 4096


def problem(d):
    """A sentence that names the variable, or None."""
    size, headroom = d.getVar("STOWAGE_SIZE"), d.getVar("STOWAGE_HEADROOM")
    if size and not is_size(size):
        return 'STOWAGE_SIZE is "%s", and has to be auto, or a size such as 1280M or 2G' % size
    if headroom and not is_headroom(headroom):
        return 'STOWAGE_HEADROOM is "%s", and has to be a percentage such as 10%%, or a size such as 200M' % headroom
    return None


def is_size(text):
    return text == "auto" or (_bytes(text) or 0) >= _SMALLEST


def is_headroom(text):
    percent = re.fullmatch(_NUMBER + "%", text)
    if percent:
        return float(percent[1]) <= 1000
    given = _bytes(text)
    return given is not None and (round(given) == 0 or round(given) >= _LEAST_HEADROOM)


def _bytes(text):
    match = re.fullmatch(_NUMBER + "([KMGT]?)(?:iB)?", text)
    return float(match[1]) * _UNITS[match[2]] if match else None
