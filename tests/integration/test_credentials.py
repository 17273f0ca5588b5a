"""Credentials: what reaches a job, and where on the disk an environment is, at every moment."""

import json
import os
import re
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardaemon.core.config import DENIED_ENVIRONMENT, Config, denied
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import UNTIL_TOLD, Shell, shells

pytestmark = pytest.mark.promise("credentials")

SECRET = "s3cr3t-0f-the-user-" + os.urandom(8).hex()
# Of today's agents, the services behind them and their tools: none of these may reach a training script.
AGENTS = """
ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL CLAUDE_CODE_OAUTH_TOKEN CLAUDECODE
CLAUDE_CODE_ENTRYPOINT OPENAI_API_KEY OPENAI_ORG_ID CODEX_HOME GEMINI_API_KEY GOOGLE_API_KEY
GOOGLE_GENERATIVE_AI_API_KEY AZURE_OPENAI_API_KEY AZURE_OPENAI_ENDPOINT AWS_BEARER_TOKEN_BEDROCK
OPENROUTER_API_KEY MISTRAL_API_KEY CODESTRAL_API_KEY GROQ_API_KEY DEEPSEEK_API_KEY XAI_API_KEY
COHERE_API_KEY CO_API_KEY TOGETHER_API_KEY FIREWORKS_API_KEY PERPLEXITY_API_KEY CEREBRAS_API_KEY
MOONSHOT_API_KEY DASHSCOPE_API_KEY ZAI_API_KEY REPLICATE_API_TOKEN CURSOR_API_KEY COPILOT_GITHUB_TOKEN
GITHUB_COPILOT_TOKEN WINDSURF_API_KEY AIDER_MODEL GITHUB_TOKEN GH_TOKEN GITHUB_PERSONAL_ACCESS_TOKEN
GITLAB_TOKEN TAVILY_API_KEY LANGSMITH_API_KEY anthropic_api_key OpenAI_Api_Key
""".split()
# What training needs: trackers, data and models from elsewhere, the machine itself.
NEEDED = """
WANDB_API_KEY WANDB_MODE HF_TOKEN HUGGING_FACE_HUB_TOKEN COMET_API_KEY NEPTUNE_API_TOKEN
MLFLOW_TRACKING_TOKEN CLEARML_API_ACCESS_KEY KAGGLE_KEY NGC_API_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
AWS_SESSION_TOKEN AWS_PROFILE GOOGLE_APPLICATION_CREDENTIALS AZURE_STORAGE_KEY AZURE_CLIENT_SECRET PATH HOME
CUDA_VISIBLE_DEVICES OMP_NUM_THREADS http_proxy HTTPS_PROXY SSL_CERT_FILE LD_LIBRARY_PATH VIRTUAL_ENV
CONDA_PREFIX
""".split()


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_an_agents_is_denied(name: str) -> None:
    assert denied(name, Config())


@pytest.mark.parametrize("name", NEEDED)
def test_what_training_needs_is_handed_on(name: str) -> None:
    assert not denied(name, Config())


def test_letters_count_in_either_case_in_config_toml_too() -> None:
    config = Config(deny_environment=("corp_*",), allow_environment=("github_token",))
    assert denied("CORP_KEY", config)
    assert not denied("GITHUB_TOKEN", config)


def test_the_documented_list_is_the_one_that_counts() -> None:
    text = (Path(__file__).parents[2] / "docs/security.md").read_text()
    block = re.search(r"<!-- denied -->\n```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    assert tuple(block[1].split()) == DENIED_ENVIRONMENT


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session; its daemon was started by a client full of secrets."""
    lab.environment.update(ANTHROPIC_API_KEY=SECRET, HF_TOKEN=SECRET)
    with shells(lab) as made:
        yield made


def test_a_job_gets_the_clients_environment_less_the_agents_credentials(shell: Shell) -> None:
    """So does the metric command; the daemon itself keeps neither."""
    lab = shell.lab
    command = lab.project / "m.py"
    command.write_text(
        "import json, os\nopen('seen-by-command', 'w').write(json.dumps(dict(os.environ)))\n"
        "print(json.dumps({'val/loss': 1}))\n"
    )
    shell("session", "stop")
    options = ("--metrics", "custom", "--metric-command", "python m.py")
    shell("session", "start", "--seconds", "20", "--resume", "continue", *options)
    lab.write("import json, os\nopen('seen-by-job', 'w').write(json.dumps(dict(os.environ)))\n")
    assert "advance" in shell("run", "--wait")
    for name in ("seen-by-job", "seen-by-command"):
        seen = json.loads((lab.project / name).read_text())
        assert seen["HF_TOKEN"] == SECRET, name
        assert "ANTHROPIC_API_KEY" not in seen, name
        assert seen["AR_RUN_ID"] == "r0001", name
    pid = shell.json("daemon", "status")["pid"]
    assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    (lab.project / "seen-by-job").unlink()
    (lab.project / "seen-by-command").unlink()
    assert holders(lab) == []


def test_config_toml_extends_and_lifts_the_list(lab: Lab) -> None:
    configured(lab, 'deny_environment = ["MY_TOKEN", "corp_*"]\nallow_environment = ["OPENAI_API_KEY"]\n')
    lab.ready()
    names = ["MY_TOKEN", "CORP_KEY", "OPENAI_API_KEY", "OPENAI_ORG"]
    lab.write(f"import os\nprint('seen:', [n for n in {names} if n in os.environ])\nprint('val/loss: 1')\n")
    given = dict.fromkeys(names, SECRET)
    lab.run(environment={**lab.environment, **given})
    assert "seen: ['OPENAI_API_KEY']" in lab.get("run.tail")["text"]


# --- on the disk ---


def holders(lab: Lab) -> list[tuple[str, int]]:
    """Every file of this world with the secret in it, and its mode; command lines of its processes too."""
    found = []
    for path in lab.root.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes():
                found.append((str(path.relative_to(lab.root)), stat.S_IMODE(path.stat().st_mode)))
        except OSError:  # it went away meanwhile
            continue
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if SECRET.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append((f"command line of {pid}", 0))
            except OSError:
                continue
    return found


@contextmanager
def watched(lab: Lab) -> Iterator[Counter[tuple[str, int]]]:
    """Look again and again, from before until after."""
    found: Counter[tuple[str, int]] = Counter()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            found.update(holders(lab))
            found["looks", 0] += 1

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()


def modes_of_entries(lab: Lab) -> list[int]:
    """Of the files with the secret, which must all be entries of active runs."""
    found = holders(lab)
    assert all("/active/" in name for name, _ in found), found
    return [mode for _, mode in found]


def test_an_environment_is_on_disk_in_its_runs_entry_alone_and_only_until_it_is_committed(lab: Lab) -> None:
    lab.ready()
    held = UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.9)
    environment = {**lab.environment, "HF_TOKEN": SECRET}
    with watched(lab) as found:
        for _ in range(2):
            lab.write(held)
            lab.submit(environment=environment, note="no secret")
        lab.wait("r0001", until="launched")
        assert modes_of_entries(lab) == [0o600, 0o600], "one running, one queued"
        lab.kill()
        assert modes_of_entries(lab) == [0o600, 0o600], "the daemon is dead"
        lab.start()
        (lab.root / "go").touch()
        assert lab.wait("r0001")["result"]["verdict"] == "advance"
        assert lab.wait("r0002")["result"]["verdict"] == "revert"
        wait_until(lambda: holders(lab) == [], "both entries gone")
    assert found.pop(("looks", 0)) > 5
    assert {mode for _, mode in found} == {0o600}
    assert all(re.search(r"/active/\.?[^/]*r000[12]", name) for name, _ in found), found
    assert stat.S_IMODE((lab.home / "active").stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["crash", "cancelled in the queue", "timeout"])
def test_however_a_run_ends_its_environment_is_gone(lab: Lab, how: str) -> None:
    lab.ready(seconds=1)
    environment = {**lab.environment, "HF_TOKEN": SECRET}
    scripts = {"crash": "raise SystemExit(3)\n", "timeout": "import time\ntime.sleep(60)\n"}
    lab.write(scripts.get(how, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1)))
    run_id = lab.submit(environment=environment)["run_id"]
    if how == "cancelled in the queue":
        run_id = lab.submit(environment=environment)["run_id"]
        assert lab.get("run.cancel", run_id=run_id)["run_id"] == run_id
        (lab.root / "go").touch()
    lab.wait(run_id)
    wait_until(lambda: lab.call("daemon.info")["active"] == 0, "all are committed")
    assert holders(lab) == []
