"""The kinds of files that the daemon reads though somebody else can write them, and what is taken of each.

No link is followed where nobody has a reason to put one: the daemon's own files, and what it replaces or
promotes. Links are followed where people have them: a program.md or prepare.py that several projects share, a
data set on another disk, a folder of logs on a scratch disk. A link in a folder above the file is followed
always, for `.autoresearch` may lie on another disk.

A file is ours if it belongs to this user or to root (a container's files often do), or lies in a folder that
config.toml names in `trusted`. The shim imports this module: the standard library alone.
"""


class Kind:
    """One kind of file: its largest size in bytes, and whether a link and another user's file are taken.

    `trusted`: whether a folder that config.toml trusts makes another user's file one of ours.
    """

    def __init__(
        self, most: int, *, links: bool = False, anybodys: bool = False, trusted: bool = True
    ) -> None:
        self.most, self.links, self.anybodys, self.trusted = most, links, anybodys, trusted


ANY_SIZE = 1 << 62  # for files of which a bounded part is read, or that are read in blocks

# --- the daemon's own files, in a project and in the state folder ---
# run.json, the session, meta.json and the like: none comes near; a larger one is none of the daemon's.
STATE = Kind(4 << 20)
# before.json and meta.json have a line for each file of a tree, of some 200 bytes.
TREE = Kind(64 << 20)
# results.tsv has a hundred bytes for each run. A larger one is put aside as broken, and rebuilt.
LEDGER = Kind(256 << 20)
# facts.jsonl has up to some KiB for each run; it is read line by line.
FACTS = Kind(ANY_SIZE)
# What stands in a state file's place is kept by its bytes where it cannot be linked.
BROKEN = Kind(256 << 20)
SAMPLES = Kind(2 << 20)  # the daemon writes half of that
CURVE = Kind(1 << 20)  # the daemon writes a tenth of that
BOOKMARK = Kind(4 << 20)  # a thousand points of a curve and 512 names take a tenth; more is not written

# --- what is run ---
# train.py where it is run or kept: a script, not data; it travels whole through every snapshot.
TRAIN = Kind(1 << 20)
# A version's second copy: packed, and still larger by a little where nothing can be packed.
VERSION = Kind(2 << 20)
# train.py and its swap file where they may be an edit that must not be lost: far more than any script has.
EDIT = Kind(64 << 20)
# program.md: far more than any has. Several experiments may share one by a link.
SCRIPT = Kind(16 << 20, links=True)
# What a person names to `arctl init`, which makes a copy: it may be a colleague's, and a link.
SOURCE = Kind(16 << 20, links=True, anybodys=True)
SOURCE_TRAIN = Kind(TRAIN.most, links=True, anybodys=True)
# A sealed file is data of any size, often a link to a disk that an administrator fills. Only its hash counts.
SEALED = Kind(ANY_SIZE, links=True, anybodys=True)
# A file of the skill beside our own code, or a unit of systemd's: an administrator may have put it there, and
# some installers link.
SKILL = Kind(1 << 20, links=True, anybodys=True)
# The same where an agent or systemd looks for it, and an agent's settings: a person's, and never through a
# link.
INSTALLED = Kind(4 << 20)
# config.toml: toml.TEXT_MAX characters of at most four bytes. People keep such files under a link. It says
# whom we trust, so another user's can never trust itself.
CONFIG = Kind(256 << 10, links=True, trusted=False)
# prepare.py, of which the CONTRACT is read: it is sealed, so whoever changes it breaks the seal.
PREPARE = Kind(16 << 20, links=True, anybodys=True)

# --- what a job writes ---
LOG = Kind(ANY_SIZE)  # run.log: read from its end, or in blocks
# Event files, rows, databases, which are read in blocks. Images make event files of some GiB.
METRICS = Kind(16 << 30, links=True)
TRAINER_STATE = Kind(64 << 20, links=True)  # some hundred thousand entries, read one by one
POINTER = Kind(64 << 10, links=True)  # wandb_run.json names one path and one id
CHECKPOINT = Kind(ANY_SIZE, links=True, anybodys=True)  # looked at; the survey tells whose each file is
# A file of a checkpoint, or its copy. Whoever copies it compares it with the file that the survey has seen;
# whoever hashes the copy takes the file that stands there now.
COPIED = Kind(ANY_SIZE, anybodys=True)
