"""The edit guard: of a project train.py alone may be edited, and anything elsewhere."""

import os
from itertools import product
from pathlib import Path

import pytest

from tests.support.every import every
from tests.support.guards import SLUG, Answer, ask, edit, project

HOME = f".autoresearch/{SLUG}"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A project beside other folders."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/t.py").touch()
    return project(tmp_path / "p")


def bash(host: Path, command: str, **environment: str) -> Answer:
    return ask("edit", edit("Bash", host, command=command), **environment)


def is_refused(answer: Answer) -> bool:
    """Is it refused, with one line that says why? Else it passes without a word."""
    if answer.code == 0:
        assert answer == (0, "", "")
        return False
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("autoresearch: ")
    assert answer.err.count("\n") == 1
    assert "failed" not in answer.err
    return True


EDITED = {
    f"{HOME}/train.py": True,
    f"{HOME}/runs/../train.py": True,
    ".autoresearch/261123-none/train.py": False,
    f"{HOME}/prepare.py": False,
    f"{HOME}/program.md": False,
    f"{HOME}/best.json": False,
    f"{HOME}/notes.md": False,
    f"{HOME}/train.py.bak": False,
    f"{HOME}/runs/r0001/train.py": False,
    f"{HOME}/runs/train.py": False,
    ".autoresearch/train.py": False,
    ".autoresearch/other/train.py": False,
    ".autoresearch": False,
    "model.py": False,
    "train.py": False,
    "lib/new.py": False,
    "../p/model.py": False,
    "../elsewhere/t.py": True,
    "/tmp/anything": True,
}


@every("tool, path", product(["Edit", "Write", "MultiEdit", "NotebookEdit"], EDITED))
def test_of_the_project_train_py_alone_is_edited(host: Path, tool: str, path: str) -> None:
    field = "notebook_path" if tool == "NotebookEdit" else "file_path"
    absolute = edit(tool, host, **{field: os.path.join(host, path)})
    assert is_refused(ask("edit", absolute)) is not EDITED[path]
    relative = edit(tool, host, **{field: path})
    assert is_refused(ask("edit", relative)) is not EDITED[path]


def test_the_refusal_says_which_file_and_why(host: Path) -> None:
    said = ask("edit", edit("Edit", host, file_path=str(host / HOME / "prepare.py")))
    assert said.err == (
        f"autoresearch: {host}/{HOME}/prepare.py: it is sealed: data and metric stay as they are\n"
    )


def test_a_link_is_judged_by_where_it_leads_too(host: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/link").symlink_to(host / "model.py")
    (tmp_path / "elsewhere/folder").symlink_to(host / HOME / "runs")
    (host / HOME / "train.py").unlink()
    (host / HOME / "train.py").symlink_to(host / "model.py")
    for path in ("elsewhere/link", "elsewhere/folder/r0001/train.py", f"p/{HOME}/train.py"):
        assert is_refused(ask("edit", edit("Edit", host, file_path=str(tmp_path / path))))


def test_experiments_on_another_disk_are_the_projects_too(host: Path, tmp_path: Path) -> None:
    os.rename(host / ".autoresearch", tmp_path / "disk")
    (host / ".autoresearch").symlink_to(tmp_path / "disk")
    for folder in (host / ".autoresearch", tmp_path / "disk"):
        assert not is_refused(ask("edit", edit("Edit", host, file_path=f"{folder}/{SLUG}/train.py")))
        assert is_refused(ask("edit", edit("Edit", host, file_path=f"{folder}/{SLUG}/best.json")))


def test_a_session_in_another_folder_is_judged_by_its_own_project(host: Path, tmp_path: Path) -> None:
    """Wherever its shell has gone since; and where it began above its project, by the path."""
    elsewhere = tmp_path / "elsewhere"
    away = edit("Edit", elsewhere, file_path=str(host / "model.py"))
    assert is_refused(ask("edit", away, CLAUDE_PROJECT_DIR=str(host)))
    assert is_refused(ask("edit", edit("Edit", tmp_path, file_path=str(host / "model.py"))))
    below = edit("Edit", host / "lib", file_path="../model.py")
    assert is_refused(ask("edit", below))


def test_another_project_is_not_judged(host: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other")
    assert not is_refused(ask("edit", edit("Edit", host, file_path=str(other / "model.py"))))


def test_without_an_experiment_there_is_nothing_to_guard(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert not is_refused(ask("edit", edit("Edit", tmp_path, file_path=str(tmp_path / "a.py"))))
    assert not is_refused(bash(tmp_path, "echo > a; git commit"))


def test_other_tools_are_not_judged(host: Path) -> None:
    assert not is_refused(ask("edit", edit("Read", host, file_path=str(host / "model.py"))))


HOSTILE = {
    "no JSON": b"Edit model.py",
    "nothing": b"",
    "no UTF-8": b'{"tool_name": "\xff\xfe"}',
    "a list": [],
    "a number": 1,
    "no fields": {},
    "no tool_input": {"tool_name": "Edit", "cwd": "/"},
    "tool_input is a list": {"tool_name": "Edit", "cwd": "/", "tool_input": []},
    "no cwd": {"tool_name": "Edit", "tool_input": {"file_path": "/x"}},
    "cwd is no text": {"tool_name": "Edit", "cwd": 7, "tool_input": {"file_path": "/x"}},
    "no file_path": {"tool_name": "Edit", "cwd": "/", "tool_input": {}},
    "file_path is no text": {"tool_name": "Write", "cwd": "/", "tool_input": {"file_path": ["/x"]}},
    "a notebook's path under another name": {
        "tool_name": "NotebookEdit",
        "cwd": "/",
        "tool_input": {"file_path": "/x"},
    },
    "no command": {"tool_name": "Bash", "cwd": "/", "tool_input": {}},
    "tool_name is no text": {"tool_name": None, "cwd": "/", "tool_input": {}},
    "a thousand levels": b"[" * 100_000,
}


@every("event", HOSTILE.values(), ids=HOSTILE)
def test_an_event_that_cannot_be_judged_is_refused(event: object) -> None:
    assert is_refused(ask("edit", event))


@pytest.mark.parametrize(
    "path", ["a\0b", "\0", "x/" * 3000, "\ud800"], ids=["NUL", "only NUL", "long", "surrogate"]
)
def test_a_path_that_no_file_can_have_is_refused(host: Path, path: str) -> None:
    assert is_refused(ask("edit", edit("Write", host, file_path=path)))


def test_an_event_of_many_megabytes_is_refused(host: Path) -> None:
    whole = edit("Write", host, file_path="/tmp/x", content="x" * (17 << 20))
    said = ask("edit", whole)
    assert is_refused(said)
    assert "16 MiB" in said.err


def test_a_name_that_would_act_on_a_terminal_does_not(host: Path) -> None:
    said = ask("edit", edit("Write", host, file_path="\x1b[2J\n\u202etxt"))
    assert is_refused(said)
    assert said.err.rstrip("\n").isprintable()


PASS = [
    "ls -la; git status && git log -3 | head",
    "git diff HEAD -- model.py; git branch; git stash list; git config --get user.name",
    "arctl run --wait --exit-zero --timeout 540 2>&1 | tail -5",
    "arctl chain-init --new-slug x --rationale \"$(cat <<'EOF'\nit's > better (by far\nEOF\n)\"",
    "echo 'a > model.py'; echo \"b > model.py\" # > model.py",
    "python -c 'print(1 > 0)'",
    "grep -rn 'rm model.py' . 2>/dev/null >&2 | wc -l",
    "cat model.py > /tmp/copy; cp model.py /tmp/; tee /tmp/x < model.py",
    f"sed -i 's/a/b/' {HOME}/train.py",
    f"cat > {HOME}/train.py <<EOF\nrm model.py > lib/a.py\nEOF\n",
    f"cp ../elsewhere/t.py {HOME}/train.py && echo done",
    f"cd {HOME} && sed -i -e s/a/b/ train.py",
    "sed 's/a/b/' model.py; find . -name '*.py' -exec grep -l x {} +",
    'OUT=/tmp/log; ls > $OUT; ls > "${OUT}"',
    "cd /tmp && rm -f x && git commit -m x",
    "(cd /tmp; touch x); ls",
    "[[ a > b ]] && echo; (( 1 > 0 )) && echo",
    "if [ -f model.py ]; then echo; fi; for f in a b; do echo $f; done",
    "rm ../elsewhere/*.py; tar xf a.tgz -C /tmp; tar tf a.tgz; curl -s http://localhost | head",
    'ls \\\n  -la \\\n  > /tmp/x; cp model.py \\\n/tmp/x; echo "a \\\nb"',
    "perl -MList::Util -ne 'print if /i/' model.py; sed -n s/i/j/p model.py",
    "scp model.py lib/a.py host:/tmp/; install -d /tmp/x",
    "bash -c 'ls > /tmp/x'; timeout 5 ls; env A=1 ls; nohup ls >/tmp/x 2>&1 &",
    "mkdir -p /tmp/arctl-new/a && cd /tmp/arctl-new && touch x; cd /tmp/arctl-new/a; touch y",
    "cd /tmp || exit 1; touch x; cd /tmp && ls | cat; touch x; bash --version",
    "tar czf /tmp/x.tgz .; wget -qO- http://localhost | head; wget -qO /tmp/x http://localhost",
    "gunzip -c a.gz | head; xz -dc a.xz; gzip -l a.gz; unzip -l a.zip; unzip -p a.zip x",
    "sort model.py; patch --dry-run -p1 < x",
    "curl -sSL -H 'x: o' -XPOST http://localhost; curl -sSLo /tmp/x http://localhost; git config user.name",
    "",
]
REFUSE = [
    "echo x > model.py",
    "echo x >>lib/a.py",
    "echo x 2> err.log",
    "ls &> all.log",
    "ls >| model.py",
    ">model.py",
    "python x.py > out.txt",
    "cat <<EOF > model.py\nx\nEOF",
    "tee model.py < /dev/null",
    "ls | tee -a lib/a.py | wc",
    "sed -i s/a/b/ model.py",
    "sed -ni.bak -e p model.py",
    "sed --in-place=.bak s/a/b/ model.py",
    "perl -pi -e s/a/b/ model.py",
    "cp /tmp/x model.py",
    "cp /tmp/x /tmp/y lib",
    "cp -t lib /tmp/x",
    "cp --target-directory=lib /tmp/x",
    "mv model.py /tmp",
    f"mv {HOME}/train.py /tmp/t.py",
    f"rm {HOME}/train.py",
    f"rm -rf {HOME}/runs",
    "rm -rf .autoresearch",
    "rm -- model.py",
    "rm *.py",
    "rm -r ..",
    "rm -rf ../p",
    "rm -rf ../*",
    "touch new.py; mkdir out",
    "truncate -s 0 model.py",
    "dd if=/dev/zero of=model.py count=1",
    "chmod 600 model.py",
    "ln -s /tmp/x model.py",
    "patch -p1 < /tmp/d",
    "tar xf /tmp/a.tgz",
    "curl -o model.py http://localhost",
    "wget http://localhost/x",
    "find . -name '*.pyc' -delete",
    "find lib -type f -exec rm {} +",
    "ls | xargs rm -f",
    "cd lib && rm a.py",
    "cd lib; cd ..; rm model.py",
    "(cd /tmp; ls); rm model.py",
    "echo $(rm model.py)",
    "echo `rm model.py`",
    'echo "$(cat x > model.py)"',
    "cat <(rm model.py)",
    "bash -c 'rm model.py'",
    'bash -lc "cd lib && rm a.py"',
    "eval rm model.py",
    "sudo -u me rm model.py",
    "env A=1 nice -n 5 timeout -k 1 10 rm model.py",
    "A=1 rm model.py",
    "/bin/rm model.py",
    "\\rm model.py",
    "'rm' model.py",
    "r\"m\" mod'el'.py",
    "if true; then rm model.py; fi",
    "while read x; do rm $x; done",
    'for f in *.py; do rm "$f"; done',
    "! rm model.py",
    "{ rm model.py; }",
    "true&&rm model.py",
    "true||rm model.py",
    "true|rm model.py",
    "true\nrm model.py",
    "rm \\\nmodel.py",
    "true && \\\n  rm model.py",
    'echo "$(rm \\\n model.py)"',
    "time -p rm model.py",
    "parallel rm ::: model.py",
    "perl -i.bak -pe s/a/b/ model.py",
    "install -d out",
    "scp host:/tmp/x model.py",
    "X=model.py; rm $X",
    "rm $UNKNOWN",
    "X=$(date); ls > $X",
    "cd $SOMEWHERE && rm x",
    "cd /no/such/folder; touch new.py",
    "cd /no/such/folder && ls\ntouch new.py",
    "cd /tmp | cat; touch new.py",
    "true | cd /tmp; touch new.py",
    "cd /tmp & touch new.py",
    "cd /tmp && ls & touch new.py",
    "bash <<EOF\nrm model.py\nEOF",
    "echo 'rm model.py' | sh -s x",
    "function f { rm model.py; }; f",
    "X=/tmp/; X+=../$HERE/model.py; ls > $X",
    "echo x > /dev/../$HERE/model.py",
    "sort -uo model.py /tmp/x",
    "sort --output=model.py /tmp/x",
    "curl -sSLo model.py http://localhost",
    "curl -fLO http://localhost/x",
    "wget -qO model.py http://localhost",
    "tar czf all.tgz /tmp/x",
    "busybox rm model.py",
    "flock /tmp/lock rm model.py",
    "gzip model.py",
    "unzip -o a.zip",
    "echo 'open",
    'echo "open',
    "echo $(open",
    "ls > a\0b",
    "git add -A",
    "git commit -am x",
    "git reset --hard",
    "git checkout -- model.py",
    "git restore .",
    "git switch main",
    "git stash",
    "git clean -fdx",
    "git -C lib commit -m x",
    "git -c user.name=x commit -m x",
    "git branch new",
    "git branch -D old",
    "git tag v1",
    "git push",
    "git config user.name x",
    "git diff --output=model.py",
    "cd /tmp && git -C " + "$HERE" + " reset --hard",
]


@every("command", PASS)
def test_what_a_shell_reads_and_writes_elsewhere_passes(host: Path, command: str) -> None:
    assert not is_refused(bash(host, command))


@every("command", REFUSE)
def test_what_a_shell_writes_in_the_project_is_refused(host: Path, command: str) -> None:
    assert is_refused(bash(host, command))


def test_a_file_that_the_command_does_not_name_is_shown_as_a_star(host: Path) -> None:
    for command in ("tar xf /tmp/a.tgz", "unzip /tmp/a.zip", "wget http://localhost"):
        assert f"{host}/*: the host project stays as it is" in bash(host, command).err


def test_the_home_folder_is_known_by_its_signs(host: Path, tmp_path: Path) -> None:
    for command in ("rm ~/model.py", "ls > $HOME/model.py", 'ls > "${HOME}"/model.py', "cd && rm model.py"):
        assert is_refused(bash(host, command, HOME=str(host)))
        assert not is_refused(bash(host, command, HOME=str(tmp_path / "elsewhere")))


def test_a_command_of_many_words_is_judged_in_time(host: Path) -> None:
    """Text that a heredoc or an argument carries is passed over in steps, not letter by letter."""
    text = 'it is > a \\"long\\" text; ' * 4000
    assert not is_refused(bash(host, f'arctl chain-init --rationale "{text}"'))
    assert is_refused(bash(host, "echo " + "x" * (129 << 10)))
