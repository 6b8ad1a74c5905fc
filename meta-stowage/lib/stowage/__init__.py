# SPDX-License-Identifier: Apache-2.0
"""What stowage-data.bbclass decides. The names in BBIMPORTS are what bitbake imports, and follows for signatures."""

BBIMPORTS = ["target", "inputs", "options", "sizes", "failures", "program", "fetching"]
