# SPDX-License-Identifier: Apache-2.0
"""Variables of a recipe as options of the command line."""

import shlex


def _given(d, pairs):
    words = []
    for option, variable in pairs:
        value = d.getVar(variable)
        if value:
            words += ["%s=%s" % (option, value)]
    return words


def _each(d, option, variable):
    return ["%s=%s" % (option, value) for value in (d.getVar(variable) or "").split()]


def inputs(d):
    return _bundles(d) + ["-p", d.getVar("STOWAGE_PINS_FILE"), "-s", d.getVar("STOWAGE_STORE")]


def _bundles(d):
    words = []
    for bundle in (d.getVar("STOWAGE_BUNDLE_FILES") or "").split():
        words += ["-b", bundle]
    return words


def target(d):
    """What chooses the target among the pinned ones."""
    words = ["--platform=%s" % d.getVar("STOWAGE_PLATFORM")]
    words += _given(d, [("--machine", "STOWAGE_MACHINE")])
    return words + _each(d, "--set", "STOWAGE_SET")


def engine(d):
    """Where the bundles have another version than the pins were made for, every command has to be told."""
    return _given(d, [("--engine-version", "STOWAGE_ENGINE_VERSION")])


def build(d):
    words = _given(
        d,
        [
            ("--engine-store", "STOWAGE_ENGINE_STORE"),
            ("--size", "STOWAGE_SIZE"),
            ("--headroom", "STOWAGE_HEADROOM"),
            ("--label", "STOWAGE_LABEL"),
            ("--uuid", "STOWAGE_UUID"),
            ("--features", "STOWAGE_FEATURES"),
        ],
    )
    unpack = d.getVar("STOWAGE_UNPACK")
    if unpack:
        import bb

        words.append("--unpack" if bb.utils.to_boolean(unpack) else "--no-unpack")
    return words


def access(d):
    """How registries are reached; nothing of it changes what is fetched."""
    words = _given(
        d,
        [
            ("--authfile", "STOWAGE_AUTHFILE"),
            ("--cert-dir", "STOWAGE_CERT_DIR"),
            ("--policy", "STOWAGE_POLICY"),
            ("--registries-dir", "STOWAGE_REGISTRIES_DIR"),
            ("--jobs", "STOWAGE_JOBS"),
        ],
    )
    return words + _each(d, "--insecure", "STOWAGE_INSECURE")


def quoted(words):
    return " ".join(shlex.quote(word) for word in words)
