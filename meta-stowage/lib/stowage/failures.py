# SPDX-License-Identifier: Apache-2.0
"""
The program's failures for people who use bitbake: its own message, with what is to be done in bitbake's words. The
reasons are those of --json.
"""

import re

from . import target

# Of options that the program's messages name.
_VARIABLES = {
    "authfile": "STOWAGE_AUTHFILE",
    "cert-dir": "STOWAGE_CERT_DIR",
    "engine-store": "STOWAGE_ENGINE_STORE",
    "engine-version": "STOWAGE_ENGINE_VERSION",
    "features": "STOWAGE_FEATURES",
    "headroom": "STOWAGE_HEADROOM",
    "insecure": "STOWAGE_INSECURE",
    "jobs": "STOWAGE_JOBS",
    "label": "STOWAGE_LABEL",
    "machine": "STOWAGE_MACHINE",
    "mirror": "STOWAGE_MIRRORS",
    "platform": "STOWAGE_PLATFORM",
    "policy": "STOWAGE_POLICY",
    "registries-dir": "STOWAGE_REGISTRIES_DIR",
    "set": "STOWAGE_SET",
    "size": "STOWAGE_SIZE",
    "uuid": "STOWAGE_UUID",
}


def end(d, verb, code, document, nobody=None):
    """Ends the task with one error. `nobody` says why no registry may be asked, where none may."""
    import bb

    text = "stowage %s ended with %d: " % (verb, code)
    if document.get("message"):
        text += message(document)
        hint = advice(d, verb, document, nobody)
        bb.fatal(text + ("\n  hint: %s" % hint if hint else ""))
    bb.fatal("%sit said no more than what is in %s" % (text, d.getVar("BB_LOGFILE") or "the log"))


def message(document):
    failure = document.get("failure") or {}
    if failure.get("reason") == "tool-missing":
        # It may well be on this machine.
        return "%s is not among the programs that tasks may run" % failure.get("tool")
    return _in_variables(document["message"])


def advice(d, verb, document, nobody=None):
    failure = document.get("failure") or {}
    reason, name = failure.get("reason"), d.getVar("PN")
    pin = "`bitbake -c stowage_pin %s`" % name
    if reason == "pins-stale" and failure.get("edited"):
        return "bring back the file as it was committed; or if a reference was moved on purpose, run %s, and commit it" % pin
    if reason in ("no-pins", "pins-stale"):
        return "if the bundle is as you mean it, run %s, and review and commit what changes" % pin
    if reason == "target-not-pinned":
        return "%spin this machine too: `MACHINE=%s bitbake -c stowage_pin %s`, and commit the file" % (
            "" if _is_machines(d) else "%s. If that is meant, " % _whose_platform(d),
            d.getVar("MACHINE"),
            name,
        )
    if reason == "unknown-platform":
        return "%s: leave it out, or name one such as linux/amd64, linux/arm64 or linux/arm/v7" % _whose_platform(d)
    if reason == "platform-not-offered":
        return (
            "%s. Name another image or tag in STOWAGE_BUNDLES; or if the device runs one of those that there are, "
            "choose it with STOWAGE_PLATFORM or another MACHINE" % _whose_platform(d)
        )
    if reason == "invalid-document" and failure.get("kind") == "pins":
        return "pins are generated: bring back the file as it was committed, or delete it and run %s" % pin
    if reason == "blob-bad":
        if nobody:
            return "%s: run `bitbake -c fetch %s` where it is not so, or copy a store that has it to %s" % (
                nobody,
                name,
                d.getVar("STOWAGE_STORE"),
            )
        return "the store is not as do_fetch left it: run `%s`" % _again(name)
    if reason == "usage":
        return "docs/yocto.md of stowage has the variables and what they may be"
    if reason == "tool-missing" and failure.get("tool") == "skopeo":
        return (
            'add HOSTTOOLS += "skopeo" to conf/local.conf for the one of this machine, or set '
            'STOWAGE_SKOPEO = "skopeo-native" with meta-virtualization'
        )
    if reason == "registry-refused" and failure.get("why") == "not-found" and verb == "fetch":
        place = failure.get("pins")
        return "%sa pin was edited, or the registry lost what it says: bring back the file as it was committed, or run %s" % (
            "%s:%s names it: " % (place["file"], place["line"]) if place else "",
            pin,
        )
    if reason == "registry-temporary" and any(source["kind"] == "mirror" for source in failure.get("sources") or []):
        # Whichever of the two named it.
        return _in_variables(document["hint"]).replace("STOWAGE_MIRRORS", "STOWAGE_MIRRORS or PREMIRRORS")
    return _in_commands(_in_variables(document.get("hint") or ""), name)


def _is_machines(d):
    return d.getVar("STOWAGE_PLATFORM") == target.platform(d)


def _whose_platform(d):
    given, machine = d.getVar("STOWAGE_PLATFORM"), d.getVar("MACHINE")
    if _is_machines(d):
        return "STOWAGE_PLATFORM is %s because MACHINE is %s" % (given, machine)
    meant = target.platform(d)
    return 'STOWAGE_PLATFORM is set to "%s", and %s' % (
        given,
        "for MACHINE %s it would be %s" % (machine, meant) if meant else "no images are made for MACHINE %s" % machine,
    )


def _in_variables(text):
    """`--size` is STOWAGE_SIZE, `a --mirror` is STOWAGE_MIRRORS."""
    return re.sub(r"(?<![\w-])(?:a )?--([a-z-]+)\b", lambda match: _VARIABLES.get(match[1], match[0]), text)


def _in_commands(text, name):
    commands = {"pin": "bitbake -c stowage_pin %s" % name, "fetch": _again(name)}
    return re.sub(r"`stowage (pin|fetch)\b[^`]*`", lambda match: "`%s`" % commands[match[1]], text)


def _again(name):
    """do_fetch anew. -C and -f would do it too, and leave a taint: then the signatures are nobody else's any more."""
    return "bitbake -c clean %s && bitbake %s" % (name, name)
