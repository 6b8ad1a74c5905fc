# SPDX-License-Identifier: Apache-2.0
"""From the words of the tune files to a platform in Go's words, as images state it."""

_PLATFORMS = {
    "aarch64": "linux/arm64",
    "x86_64": "linux/amd64",
    "i386": "linux/386",
    "i486": "linux/386",
    "i586": "linux/386",
    "i686": "linux/386",
    "loongarch64": "linux/loong64",
    "mips": "linux/mips",
    "mipsel": "linux/mipsle",
    "mips64": "linux/mips64",
    "mips64el": "linux/mips64le",
    "powerpc64": "linux/ppc64",
    "powerpc64le": "linux/ppc64le",
    "riscv64": "linux/riscv64",
    "s390x": "linux/s390x",
}


def platform(d):
    """STOWAGE_PLATFORM's default, or "" where no images exist for the machine's architecture."""
    return platform_of(d.getVar("TARGET_ARCH") or "", (d.getVar("TUNE_FEATURES") or "").split())


def warn(d):
    """Says so where the images are for another architecture than the machine's: few processors run both."""
    import bb

    given, own = d.getVar("STOWAGE_PLATFORM"), platform(d)
    known = {name.split("/")[1] for name in _PLATFORMS.values()} | {"arm"}
    arch = (given.split("/") + [""])[1]
    if own and arch in known and arch != own.split("/")[1]:
        bb.warn(
            "STOWAGE_PLATFORM is %s, and MACHINE %s is one for %s: leave it out unless that is what the device runs"
            % (given, d.getVar("MACHINE"), own)
        )


def platform_of(arch, features):
    """
    An image brings its own C library, so the calling convention of the root file system does not count: what counts
    is what the processor can do. Images for v6 and v7 need a floating point unit, those for v5 do not.
    """
    if arch != "arm":
        return _PLATFORMS.get(arch, "")
    generation = max((_arm_generation(feature) for feature in features), default=0)
    if "bigendian" in features or generation < 5:
        return ""
    # Those of ARMv8 have one in any case, and their 32-bit images are v7's.
    hard = generation >= 8 or any(feature.startswith(("vfp", "neon")) for feature in features)
    if not hard:
        return "linux/arm/v5"
    return {5: "linux/arm/v5", 6: "linux/arm/v6"}.get(generation, "linux/arm/v7")


# The tunes of these processors name no architecture. What is not here and names none is older than all images.
_ARM_PROCESSORS = {"arm926ejs": 5, "xscale": 5, "iwmmxt": 5, "arm11": 6, "cortexa": 7}


def _arm_generation(feature):
    """7 of `armv7a`, `armv7ve` and `cortexa7`; 0 of what names no generation."""
    if feature.startswith("armv") and feature[4:5].isdigit():
        return int(feature[4])
    for processor, generation in _ARM_PROCESSORS.items():
        if feature.startswith(processor):
            return generation
    return 0
