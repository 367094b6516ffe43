"""Limits of the operating system for this process, checked before training."""

import resource
import sys

# A run with images in memory needed 40 open files when measured; threads that read images need more.
FILES = 64
TARGET_FILES = 4096
# JAX's threads reserve about this much address space, and a thread that cannot be made ends the process.
ADDRESSES = 4 << 30


def check_limits() -> None:
    """Raises the limit of open files as far as is allowed; warns of too little address space.

    Raises:
        RunError: too few files may be open at a time: libraries would end in tracebacks, or wait for ever.
    """
    from jaxcnn.train import RunError

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < TARGET_FILES:
        soft = TARGET_FILES if hard == resource.RLIM_INFINITY else min(hard, TARGET_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < FILES:
        raise RunError(
            f"this process may have {soft} files open at a time, and training needs at least {FILES}. Allow more with "
            f"`ulimit -n {TARGET_FILES}`."
        )
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY and space < ADDRESSES:
        print(
            f"jaxcnn train: this process may use {space / 2**30:.1f} GiB of addresses, and JAX may abort with less "
            f"than {ADDRESSES / 2**30:.0f} GiB. Allow more with `ulimit -v unlimited`.",
            file=sys.stderr,
        )
