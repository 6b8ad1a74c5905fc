# SPDX-License-Identifier: Apache-2.0
"""The one task that may use the network, within what bitbake's own fetchers are allowed."""

import os

from . import failures, inputs, options, program


def fetch(d):
    """Downloads what is pinned into the store. Runs at the end of do_fetch."""
    import bb

    pins = d.getVar("STOWAGE_PINS_FILE")
    if d.getVar("STOWAGE_PINNED") == "none":
        bb.fatal(
            "%s is missing. Pins fix every tag to a digest: run `bitbake -c stowage_pin %s`, look at the file, and "
            "commit it." % (pins, d.getVar("PN"))
        )
    words = ["fetch"] + options.inputs(d) + options.target(d) + options.engine(d)
    words += ["--loader=direct", "--frozen"]
    mirrors, files = premirrors(d)
    where, nobody = _where(d, mirrors)
    # What a directory of downloads has is taken from there first, as bitbake does.
    if files and _run(d, words + ["--offline"], quiet=True)[0] != 0:
        for place in files:
            _import(d, place)
    code, document = _run(d, words + where + options.access(d))
    if code != 0:
        failures.end(d, "fetch", code, document, nobody)


def pin(d):
    """Writes the pins, for a human to look at and commit."""
    import bb

    mirrors, _ = premirrors(d)
    words = ["pin"] + options.inputs(d)[:-2] + options.target(d) + options.engine(d)
    words += ["--loader=direct"]
    where, nobody = _where(d, mirrors)
    if nobody:
        bb.fatal("%s, and tags are looked up over the network alone" % nobody)
    code, document = _run(d, words + where + options.access(d))
    if code != 0:
        failures.end(d, "pin", code, document)
    for line in _changes(d, document):
        bb.plain(line)


def _changes(d, document):
    """What became of the pins, as lines: what moved, or all that is pinned where nothing was."""
    file, target = d.getVar("STOWAGE_PINS_FILE"), document.get("target")
    moved = document.get("moved") or []
    if moved:
        return ["%s: %s: %d changed" % (file, target, len(moved))] + ["  " + line for line in moved]
    if not document.get("changed"):
        return ["%s: %s: unchanged" % (file, target)]
    images = (document.get("pins") or {}).get("images") or {}
    references = ["  %s: %s" % (name, image.get("reference") or image.get("from")) for name, image in images.items()]
    return ["%s: %s: written" % (file, target)] + references


def _where(d, mirrors):
    """Which of mirrors and registries may be asked, as options; and why nobody may, or None."""
    import bb

    if bb.utils.to_boolean(d.getVar("BB_NO_NETWORK")):
        return ["--offline"], 'no registry may be asked, as BB_NO_NETWORK = "%s"' % d.getVar("BB_NO_NETWORK")
    allowed = [mirror for mirror in mirrors if _trusted(d, mirror)]
    for mirror in mirrors:
        if mirror not in allowed:
            bb.note("stowage: the mirror %s is not in BB_ALLOWED_NETWORKS" % mirror)
    words = ["--mirror=%s" % mirror for mirror in allowed]
    only = bb.utils.to_boolean(d.getVar("BB_FETCH_PREMIRRORONLY"))
    # One host that must not be asked is enough: stowage takes one rule for all images.
    refused = sorted({host for host in hosts(d) if not _trusted(d, host)})
    for host in refused:
        bb.note("stowage: %s is not in BB_ALLOWED_NETWORKS" % host)
    if not only and not refused:
        return words, None
    if words:
        return words + ["--mirror-only"], None
    causes = ['BB_FETCH_PREMIRRORONLY = "%s" and no mirror is set' % d.getVar("BB_FETCH_PREMIRRORONLY")] if only else []
    causes += ["BB_ALLOWED_NETWORKS lacks %s" % " ".join(refused)] if refused else []
    return ["--offline"], "no registry may be asked, as " + ", and ".join(causes)


def _trusted(d, host):
    import bb.fetch2

    return bb.fetch2.trusted_network(d, "https://%s/" % host.split("/")[0])


def hosts(d):
    """Of the registries and servers that the pins name."""
    found = {name.split("/")[0] for name in references(d)}
    for entry in _targets(d):
        for file in (entry.get("files") or {}).values():
            url = file.get("url") or ""
            if "://" in url:
                found.add(url.split("://")[1].split("/")[0].split("@")[-1])
    return found


def references(d):
    """`registry.example/product/app` of every pinned image that is a registry's."""
    names = set()
    for entry in _targets(d):
        for image in (entry.get("images") or {}).values():
            if "from" not in image:
                names.add(_without_tag(image.get("reference") or ""))
    return sorted(names - {""})


def _without_tag(reference):
    name = reference.split("@")[0]
    last = name.rfind("/")
    colon = name.find(":", last + 1)
    return name if colon < 0 else name[:colon]


def _targets(d):
    arguments = [d.getVar(name) for name in ("STOWAGE_PINS_FILE", "STOWAGE_PLATFORM", "STOWAGE_MACHINE")]
    targets = inputs.targets_of(*arguments)
    return targets if isinstance(targets, list) else []


def premirrors(d):
    """
    STOWAGE_MIRRORS, and those of PREMIRRORS whose left side matches docker://REGISTRY/NAME of a pinned image: the
    right side is another registry (docker://HOST/PATH), or a directory of downloads (file:///DIR). Returns the mirrors
    and the directories. The first variable takes both too, as openembedded-core warns of docker:// in the second.
    """
    import re
    import bb.fetch2

    named = (d.getVar("STOWAGE_MIRRORS") or "").split()
    files = [place[len("file://") :] for place in named if place.startswith("file://")]
    mirrors = [place for place in named if not place.startswith("file://")]
    urls = [bb.fetch2.decodeurl("docker://" + name) for name in references(d)]
    # scarthgap takes the left side apart as it does any address.
    decode = getattr(bb.fetch2, "decodemirrorurl", bb.fetch2.decodeurl)
    for find, replace in bb.fetch2.mirror_from_string(d.getVar("PREMIRRORS")):
        kind, host, path = decode(find)[:3]
        if not re.fullmatch(kind, "docker"):
            continue
        if not any(re.match(host, url[1]) and re.match(path, url[2]) for url in urls):
            continue
        to, where = replace.split("://", 1)
        if to == "docker" and where.rstrip("/") not in mirrors:
            mirrors.append(where.rstrip("/"))
        elif to == "file" and where not in files:
            files.append(where)
    return mirrors, files


def _import(d, place):
    """A store, a DL_DIR with one, or a file that `stowage store export` wrote."""
    import bb

    store, work = d.getVar("STOWAGE_STORE"), d.getVar("WORKDIR")
    name = os.path.basename(store)
    if os.path.isfile(place):
        archive = place
    else:
        stores = [path for path in (place, os.path.join(place, name)) if _is_store(path)]
        if not stores:
            bb.note("stowage: no store in %s" % place)
            return
        archive = os.path.join(work, "stowage-premirror.tar")
        bb.utils.mkdirhier(work)
        words = ["store", "export", "-s", stores[0], "-o", archive, "-p", d.getVar("STOWAGE_PINS_FILE")]
        if _run(d, words + options.target(d))[0] != 0:
            return
    bb.utils.mkdirhier(store)
    _run(d, ["store", "import", "-s", store, archive])
    if archive != place:
        bb.utils.remove(archive)


def _is_store(path):
    return os.path.exists(os.path.join(path, "stowage-store.json"))


def _run(d, words, quiet=False):
    import bb.fetch2

    # Proxies, certificates, HOME with its credentials: what every fetcher of bitbake gets, and no more.
    return program.run(d, words, bb.fetch2.get_fetcher_environment(d), quiet)
