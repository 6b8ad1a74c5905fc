"""What SPDX's own library says of SPDX documents as JSON, one line of JSON for each file: a list of its complaints.

Beyond reading and validating, the document is written again by that library: what did not come through is no part of
the model, a name that SPDX does not know or a value of a form that it does not take. `judge.py LIBRARY FILE...`
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter  # noqa: E402
from spdx_tools.spdx.parser.error import SPDXParsingError  # noqa: E402
from spdx_tools.spdx.parser.json import json_parser  # noqa: E402
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document  # noqa: E402


def lost(before, after, where):
    """Where `before` holds what `after` does not; lists are in no order."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in after:
                yield f"{where}: {name} is unknown"
            else:
                yield from lost(value, after[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        keys = [json.dumps(item, sort_keys=True) for item in after]
        rest = [item for item in before if json.dumps(item, sort_keys=True) not in keys]
        for item in rest:
            others = [one for one in after if same(item, one)]
            if others:
                yield from lost(item, others[0], f"{where}[{name_of(item)}]")
            else:
                yield f"{where}: {json.dumps(item)} is not kept"
    elif before != after:
        yield f"{where}: {json.dumps(before)} is taken for {json.dumps(after)}"


def name_of(item):
    return item.get("SPDXID") or item.get("licenseId") if isinstance(item, dict) else None


def same(one, other):
    return name_of(one) is not None and name_of(one) == name_of(other)


def judge(file):
    try:
        document = json_parser.parse_from_file(file)
    except SPDXParsingError as error:
        return error.get_messages()
    said = [message.validation_message for message in validate_full_spdx_document(document)]
    if said:
        return said
    with open(file, encoding="utf-8") as stream:
        before = json.load(stream)
    after = DocumentConverter().convert(document)
    # The schema spells it with a hyphen, the library with an underscore; both read both.
    for package in after.get("packages", []):
        for reference in package.get("externalRefs", []):
            reference["referenceCategory"] = reference["referenceCategory"].replace("_", "-")
    return list(lost(before, after, "document"))


for path in sys.argv[2:]:
    print(json.dumps(judge(path)))
