# SPDX-License-Identifier: Apache-2.0
"""The program in the recipe's sysroot. What it does is in the task's log, what it ended with is a document."""

import json
import os
import subprocess

from . import failures, options


def build(d, words):
    """Runs `stowage WORDS` without a network and without bitbake's SOURCE_DATE_EPOCH; a failure ends the task."""
    environment = dict(os.environ)
    # It would be the time of a file of the metadata, which is another one in every checkout.
    environment.pop("SOURCE_DATE_EPOCH", None)
    epoch = d.getVar("STOWAGE_SOURCE_DATE_EPOCH")
    if epoch:
        environment["SOURCE_DATE_EPOCH"] = epoch
    code, document = run(d, words, environment)
    if code != 0:
        failures.end(d, words[0], code, document)


def run(d, words, environment, quiet=False):
    """Returns the exit code, and the document that --json makes: of the result, or of the failure. {} is none."""
    import bb

    program = bb.utils.which(d.getVar("PATH"), "stowage", executable=True)
    if not program:
        bb.fatal("stowage is not in the recipe's sysroot: the task depends on stowage-native for it")
    environment["PATH"] = d.getVar("PATH")
    command = [program] + words + ["--log=plain", "--json"]
    bb.note(options.quoted(command))
    # Standard error is the task's log.
    stderr = subprocess.DEVNULL if quiet else None
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=stderr)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        document = {}
    return done.returncode, document if isinstance(document, dict) else {}
