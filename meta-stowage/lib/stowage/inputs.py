# SPDX-License-Identifier: Apache-2.0
"""The files that a data image is made from, and what of them decides what it will be."""

import hashlib
import json
import os
import re

from . import sizes


def find(d, name):
    """Where `name` is: by its own path, or as file:// in SRC_URI would find it. With every place that was looked at."""
    import bb

    if os.path.isabs(name):
        return (name if os.path.exists(name) else ""), [name]
    return bb.utils.which(d.getVar("FILESPATH") or "", name, history=True)


def note(d):
    """
    Sets STOWAGE_BUNDLE_FILES, STOWAGE_PINS_FILE and STOWAGE_PINNED when a recipe is parsed, and has it parsed again
    when these files change. What is missing or wrong of a recipe's own input skips it, with the variable's name; missing pins
    don't, or nothing could make them.
    """
    import bb

    bundles = []
    for name in (d.getVar("STOWAGE_BUNDLES") or "").split():
        found, places = find(d, name)
        for place in places:
            bb.parse.mark_dependency(d, place)
        if not found:
            raise bb.parse.SkipRecipe("STOWAGE_BUNDLES: %s is in none of FILESPATH" % name)
        bundles.append(found)
    if not bundles:
        raise bb.parse.SkipRecipe("STOWAGE_BUNDLES is empty: name at least one bundle")
    if not d.getVar("STOWAGE_PLATFORM"):
        raise bb.parse.SkipRecipe(
            "STOWAGE_PLATFORM is empty, as no images are made for TARGET_ARCH %s with TUNE_FEATURES '%s'"
            % (d.getVar("TARGET_ARCH"), d.getVar("TUNE_FEATURES"))
        )
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._+-]*", d.getVar("STOWAGE_DATA_NAME") or ""):
        raise bb.parse.SkipRecipe(
            'STOWAGE_DATA_NAME is "%s": name what is deployed with letters, digits and . _ + -'
            % (d.getVar("STOWAGE_DATA_NAME") or "")
        )
    problem = sizes.problem(d)
    if problem:
        raise bb.parse.SkipRecipe(problem)
    name = d.getVar("STOWAGE_PINS") or ""
    if not name:
        raise bb.parse.SkipRecipe("STOWAGE_PINS is empty: name the pins file")
    found, places = find(d, name)
    # Where do_stowage_pin will write them.
    pins = found or (name if os.path.isabs(name) else os.path.join(os.path.dirname(bundles[0]), name))
    for place in places + [pins]:
        bb.parse.mark_dependency(d, place)
    d.setVar("STOWAGE_BUNDLE_FILES", " ".join(bundles))
    d.setVar("STOWAGE_PINS_FILE", pins)
    d.setVar("STOWAGE_PINNED", pinned(pins, d.getVar("STOWAGE_PLATFORM"), d.getVar("STOWAGE_MACHINE")))


def checksums(d):
    """The bundles, and the policy that judges images, for [file-checksums]: their content counts, not where they are."""
    paths = (d.getVar("STOWAGE_BUNDLE_FILES") or "").split() + (d.getVar("STOWAGE_POLICY") or "").split()
    return " ".join("%s:%s" % (path, os.path.exists(path)) for path in paths)


def pinned(path, platform, machine):
    """
    A digest of what is pinned for this platform and machine, so that neither the pins of other boards nor how the
    file is written changes a signature. Pins that cannot be read so are taken byte for byte: stowage says what is
    wrong with them.
    """
    targets = targets_of(path, platform, machine)
    if targets is None:
        return "none"
    text = targets if isinstance(targets, bytes) else json.dumps(targets, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()


def targets_of(path, platform, machine):
    """The entries that may be this target's; all of them where none is. Bytes where it is no such document."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    try:
        targets = list(json.loads(text)["targets"].values())
        ours = [
            entry
            for entry in targets
            if entry["target"]["platform"] == platform and entry["target"].get("machine") in (None, machine)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
    return ours or targets
