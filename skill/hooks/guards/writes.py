"""What a simple command writes, as far as its words tell."""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from guards import table
from guards.event import Unclear
from guards.shell import Command, Shell, resolved
from guards.words import Text


class Write(NamedTuple):
    """A path that a command writes or removes, absolute; None if it cannot be told."""

    path: Text
    removing: bool = False


class GitChange(NamedTuple):
    """A git command that changes files, branches or history, and the folder that it runs in."""

    subcommand: str
    folder: Text


class PersonAlone(NamedTuple):
    """An arctl command that is a person's decision."""

    command: str


Change = Write | GitChange | PersonAlone
UNNAMED = "*"  # in a refusal, the file that a command makes without naming it, as `unzip`
# Every operand is written; of those in REMOVE it is gone afterwards.
EVERY = frozenset("touch mkdir truncate tee sponge chmod chown chgrp ed ex vi vim nvim nano".split())
REMOVE = frozenset("rm rmdir unlink shred gzip gunzip bzip2 bunzip2 xz unxz zstd".split())
LAST = frozenset("cp install ln rsync scp mv".split())  # the last operand is written, or the folder of -t
FIRST_IS_NO_PATH = ("chmod", "chown", "chgrp")
# Those that edit files in place with -i, which may stand behind other letters: `sed -ni`, `perl -pi`.
IN_PLACE = {"sed": r"-[nErsuz]*i|--in-place", "perl": r"-[lnpasStTuUwWXc0-9]*i", "ruby": r"-[lnpasw0-9]*i"}
SHELLS = frozenset("bash sh dash zsh ksh".split())
# Commands that run another one, with those of their options that take a value.
RUNNERS = {
    "parallel": "-j", "busybox": "", "flock": "-w -E", "watch": "-n",
    "sudo": "-u -g -C -D -h -p", "doas": "-u -C", "env": "-u -C", "nohup": "", "time": "-f -o", "nice": "-n",
    "ionice": "-c -n -p", "timeout": "-k -s", "stdbuf": "-i -o -e", "setsid": "", "command": "",
    "builtin": "", "exec": "-a", "xargs": "-I -n -P -L -d -a -E -s", "chrt": "", "taskset": "",
}  # fmt: skip
OPERANDS_OF_RUNNER = {"timeout": 1, "chrt": 1, "taskset": 1, "flock": 1}
# Options with a value, of commands whose every operand counts.
VALUES = {"touch": "-d -r -t", "truncate": "-s -r", "mkdir": "-m", "shred": "-n -s", "rsync": "-e -f"}
TARGET = ("-t", "--target-directory")
# With these options a command of REMOVE, or one that unpacks, writes no file.
READS = {
    **dict.fromkeys(
        ("gzip", "gunzip", "bzip2", "bunzip2", "xz", "unxz", "zstd"), r"-[a-z0-9]*[clt]|--(stdout|list|test)"
    ),
    "unzip": r"-[a-zA-Z]*[lptvzZ]",
    "patch": r"--dry-run",
}
# The option that names the file, which may stand behind other letters: `curl -sSLo FILE`, `wget -qO- URL`.
_CURL = "-[#0-9BGIJLMNOSRZafgijklnpqsv]*"
OUTPUT = {
    "curl": rf"{_CURL}o(.*)|--output(?:=(.*))?",
    "wget": r"-[NSacdqrv]*O(.*)|--output-document(?:=(.*))?",
    "sort": r"-[a-zA-Z]*o(.*)|--output(?:=(.*))?",
}


def of(command: Command) -> Iterator[Change]:
    """Yield what the command changes. Raises Unclear if that cannot be told."""
    for path in command.outputs:
        if path is None or not _is_device(os.path.normpath(path)):
            yield Write(resolved(path, command.folder))
    words = _itself(command.words)
    yield from _of(words, command.folder, "xargs" in command.words)


def _is_device(path: str) -> bool:
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")  # that is a folder like others


def _of(words: list[Text], folder: Text, by_xargs: bool) -> Iterator[Change]:
    if not words or words[0] is None:
        return
    name, rest = os.path.basename(words[0]), words[1:]
    if name in SHELLS or name == "eval":
        yield from _script(name, rest, folder)
    elif name == "git":
        yield from _git(rest, folder)
    elif name == "arctl":
        command = table.of_a_person([word or "" for word in rest])
        yield from [] if command is None else [PersonAlone(command)]
    else:
        paths = list(_paths(name, rest, folder))
        if by_xargs and (paths or name in EVERY | REMOVE | LAST):
            paths.append(Write(None))
        yield from (Write(resolved(one.path, folder), one.removing) for one in paths)


def _itself(words: list[Text]) -> list[Text]:
    """Return a command without those before it that only run it: `sudo -u me nice rm x` is `rm x`."""
    while words and words[0] is not None and (name := os.path.basename(words[0])) in RUNNERS:
        _, operands = _split(words[1:], RUNNERS[name].split())
        operands = operands[OPERANDS_OF_RUNNER.get(name, 0) :]
        words = [word for word in operands if name != "env" or "=" not in (word or "")] if operands else []
    return words


def _split(words: list[Text], values: list[str]) -> tuple[list[str], list[Text]]:
    """Return the options before the first operand, and everything from there on."""
    options: list[str] = []
    at = 0
    while at < len(words) and (word := words[at]) is not None and word.startswith("-"):
        at += 1
        if word == "--":
            break
        options.append(word)
        at += word in values
    return options, words[at:]


def _operands(name: str, words: list[Text]) -> list[Text]:
    """Return all operands of a command, wherever its options stand."""
    values, found, rest = VALUES.get(name, "").split(), [], words
    while rest:
        _, rest = _split(rest, values)
        found += rest[:1]
        rest = rest[1:]
    return found


def _paths(name: str, words: list[Text], folder: Text) -> Iterator[Write]:
    """Yield what a command other than git and a shell writes, as its words say it."""
    operands = _operands(name, words)
    if name in READS and any(re.match(READS[name], word or "") for word in words):
        return
    if name in EVERY:
        yield from map(Write, operands[name in FIRST_IS_NO_PATH :])
    elif name in REMOVE:
        yield from (Write(path, True) for path in operands)
    elif name == "install" and "-d" in words:
        yield from map(Write, operands)
    elif name in LAST:
        yield from _copied(name, words, operands, folder)
    elif name in IN_PLACE and any(re.match(IN_PLACE[name], word or "") for word in words):
        yield from map(Write, _edited(words))
    elif name == "dd":
        yield from (Write(word[3:]) for word in words if word is not None and word.startswith("of="))
    elif name in OUTPUT:
        yield from _fetched(name, words)
    elif name in ("tar", "unzip", "patch"):
        yield from _unpacked(name, words, operands)
    elif name == "find":
        yield from _found(words, operands)


def _copied(name: str, words: list[Text], operands: list[Text], folder: Text) -> Iterator[Write]:
    if name in ("scp", "rsync") and operands and ":" in (operands[-1] or "").partition("/")[0]:
        return  # to another machine
    into = _value(words, TARGET)
    sources = operands if into else operands[:-1]
    target = into or (operands[-1] if len(operands) > 1 else None)
    if name == "ln" and len(operands) == 1:
        target = "."
    if target is not None and os.path.isdir(resolved(target, folder) or ""):
        yield from (
            Write(None if one is None else os.path.join(target, os.path.basename(one))) for one in sources
        )
    elif operands:
        yield Write(target)
    if name == "mv":
        yield from (Write(one, True) for one in sources)


def _value(words: list[Text], names: tuple[str, ...]) -> Text:
    """Return the value of an option, written as `-t X`, `-tX`, `--name X` or `--name=X`."""
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                return words[at + 1] if at + 1 < len(words) else None
            start = name + "=" if name.startswith("--") else name
            if word is not None and word.startswith(start):
                return word[len(start) :]
    return None


def _edited(words: list[Text]) -> list[Text]:
    """Return the files of `sed -i`, `perl -i`: all operands, but for a script that is one."""
    files: list[Text] = []
    script = skip = False
    for word in words:
        if skip or (word is not None and word.startswith("-")):
            ends_in_script = (
                not skip and word is not None and not word.startswith("--") and word[-1:] in ("e", "f")
            )
            script |= ends_in_script or (word or "").startswith(("--expression", "--file"))
            skip = ends_in_script
        else:
            files.append(word)
    return files if script else files[1:]


def _fetched(name: str, words: list[Text]) -> Iterator[Write]:
    for at, word in enumerate(words):
        match = re.fullmatch(OUTPUT[name], word or "")
        if match is not None:
            target = match[1] or match[2] or next(iter(words[at + 1 :]), None)
            if target != "-":
                yield Write(target)
            return
    remote = any(re.match(rf"{_CURL}O|--remote-name", word or "") for word in words)
    if name == "wget" or (name == "curl" and remote):
        yield Write(
            _value(words, ("-P", "--directory-prefix")) if name == "wget" and "-P" in words else UNNAMED
        )


def _unpacked(name: str, words: list[Text], operands: list[Text]) -> Iterator[Write]:
    """Yield a name in the folder where an archive is unpacked or a patch applied."""
    flags = next((word.lstrip("-") for word in words if word), "")
    if name == "tar" and operands[:1] == words[:1]:  # as in `tar czf FILE`
        operands = operands[1:]
    if name == "tar" and "x" not in flags and "--extract" not in words:
        if "c" in flags or "--create" in words:
            yield Write(
                _value(words, ("--file",)) or (operands[0] if flags.endswith("f") and operands else None)
            )
        return
    where = _value(words, ("-d",) if name != "tar" else ("-C", "--directory"))
    if name == "patch" and operands:
        yield Write(operands[0])
    else:
        yield Write(os.path.join(where or ".", UNNAMED))


def _found(words: list[Text], operands: list[Text]) -> Iterator[Write]:
    """Yield the folders in which `find` removes or runs something."""
    tops = []
    for word in words:
        if word is not None and word.startswith(("-", "(", "!")):
            break
        tops.append(word)
    runs = [
        words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-exec", "-execdir", "-ok", "-okdir")
    ]
    writes = any(
        os.path.basename(one or "") in EVERY | REMOVE | LAST | IN_PLACE.keys() | SHELLS for one in runs
    )
    if writes or "-delete" in words:
        yield from (Write(top, True) for top in tops or ["."])
    yield from (
        Write(words[at + 1]) for at, word in enumerate(words[:-1]) if (word or "").startswith("-fprint")
    )


def _script(name: str, words: list[Text], folder: Text) -> Iterator[Change]:
    """Judge the commands of `bash -c TEXT` and of `eval TEXT`."""
    text: Text = None
    if name == "eval":
        text = None if None in words else " ".join(word or "" for word in words)
    else:
        options, operands = _split(words, ["-o", "+o"])
        if not any(not one.startswith("--") and "c" in one for one in options):
            from_input = not operands or any(not one.startswith("--") and "s" in one for one in options)
            if from_input and not {"--version", "--help"} & set(options):
                raise Unclear(f"what `{name}` would read cannot be told: write the commands out")
            return
        text = operands[0] if operands else ""
    if text is None:
        raise Unclear(f"what `{name}` would run cannot be told: write the command out")
    for command in Shell(text, folder, depth=1).read():
        yield from of(command)


def _git(words: list[Text], folder: Text) -> Iterator[Change]:
    """Yield what a git command changes."""
    while words and words[0] is not None and words[0].startswith("-"):
        taken = 2 if words[0] in ("-C", "-c", "--git-dir", "--work-tree", "--namespace") else 1
        if words[0] == "-C":
            folder = resolved(words[1] if len(words) > 1 else None, folder)
        words = words[taken:]
    if not words:
        return
    rest = [word or "" for word in words[1:]]
    output = _value(words[1:], ("--output",))
    if output is not None:
        yield Write(resolved(output, folder))
    if words[0] is None or not table.git_reads(words[0], rest):
        yield GitChange(words[0] or "", folder)
