"""Credentials: what reaches a job, and where on the disk an environment is, at every moment."""

import hashlib
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

from ardaemon.core.config import Config, denied
from ardaemon.core.denied import KINDS
from ardaemon.host import operations, secret
from ardaemon.pipeline.environment import OF_A_SHELL
from tests.support.every import every
from tests.support.lab import Lab, wait_until
from tests.support.look import into
from tests.support.machine import configured
from tests.support.shell import UNTIL_TOLD, Shell, shells

pytestmark = pytest.mark.promise("credentials")

SECRET = "s3cr3t-0f-the-user-" + os.urandom(8).hex()
# Credentials for which a training script has no use, by their kinds: none of these may reach one.
UNWANTED = {
    "agents": """
ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL CLAUDE_CODE_OAUTH_TOKEN CLAUDECODE
CLAUDE_CODE_ENTRYPOINT OPENAI_API_KEY OPENAI_ORG_ID CODEX_HOME CURSOR_API_KEY COPILOT_GITHUB_TOKEN
GITHUB_COPILOT_TOKEN WINDSURF_API_KEY AIDER_MODEL AUGMENT_API_TOKEN AUGMENT_SESSION_AUTH QODO_API_KEY
KILO_API_KEY KILOCODE_TOKEN ROO_API_KEY ROO_CODE_IPC_SOCKET_PATH KIRO_API_KEY JULES_API_KEY CRUSH_API_KEY
V0_API_KEY QWEN_CODE_API_KEY
""",
    "services that run models": """
GEMINI_API_KEY GOOGLE_API_KEY GOOGLE_GENERATIVE_AI_API_KEY AZURE_OPENAI_API_KEY AZURE_OPENAI_ENDPOINT
AWS_BEARER_TOKEN_BEDROCK OPENROUTER_API_KEY MISTRAL_API_KEY CODESTRAL_API_KEY GROQ_API_KEY DEEPSEEK_API_KEY
XAI_API_KEY COHERE_API_KEY CO_API_KEY TOGETHER_API_KEY FIREWORKS_API_KEY PERPLEXITY_API_KEY CEREBRAS_API_KEY
MOONSHOT_API_KEY DASHSCOPE_API_KEY ZAI_API_KEY Z_AI_API_KEY REPLICATE_API_TOKEN OLLAMA_API_KEY ARK_API_KEY
SILICONFLOW_API_KEY NEBIUS_API_KEY FAL_KEY FAL_API_KEY ELEVENLABS_API_KEY
""",
    "agents' tools": """
TAVILY_API_KEY LANGSMITH_API_KEY E2B_API_KEY BROWSERBASE_API_KEY APIFY_TOKEN APIFY_API_TOKEN SLACK_BOT_TOKEN
SLACK_TOKEN SLACK_MCP_XOXP_TOKEN SLACK_SIGNING_SECRET LINEAR_API_KEY NOTION_TOKEN NOTION_API_KEY
SENTRY_AUTH_TOKEN STRIPE_SECRET_KEY STRIPE_API_KEY STRIPE_WEBHOOK_SECRET ATLASSIAN_API_TOKEN JIRA_API_TOKEN
MCP_AUTH_TOKEN MCP_GITHUB_TOKEN MCP_API_KEY
""",
    "git and CI": """
GITHUB_TOKEN GITHUB_AUTH_TOKEN GITHUB_API_TOKEN GITHUB_PERSONAL_ACCESS_TOKEN GITHUB_ENTERPRISE_TOKEN GH_TOKEN
GH_ENTERPRISE_TOKEN GH_PAT GITHUB_PAT GITHUB_MCP_HOST GITLAB_TOKEN GITLAB_PRIVATE_TOKEN
GITLAB_PERSONAL_ACCESS_TOKEN CI_JOB_TOKEN CI_REGISTRY_PASSWORD CI_JOB_JWT_V2 ACTIONS_RUNTIME_TOKEN
ACTIONS_ID_TOKEN_REQUEST_TOKEN ACTIONS_CACHE_URL GIT_ASKPASS GIT_CONFIG_COUNT GIT_CONFIG_VALUE_0
GIT_CONFIG_PARAMETERS VSCODE_GIT_IPC_HANDLE VSCODE_GIT_ASKPASS_NODE VSCODE_IPC_HOOK_CLI SSH_AUTH_SOCK
SSH_ASKPASS
""",
    "publishing and vaults": """
NPM_TOKEN NODE_AUTH_TOKEN npm_config_//registry.npmjs.org/:_authToken TWINE_PASSWORD UV_PUBLISH_TOKEN
UV_PUBLISH_PASSWORD CARGO_REGISTRY_TOKEN CARGO_REGISTRIES_CORP_TOKEN DOCKER_PASSWORD VAULT_TOKEN
OP_SERVICE_ACCOUNT_TOKEN OP_SESSION_my OP_CONNECT_TOKEN BWS_ACCESS_TOKEN BW_SESSION
""",
    "either case": "anthropic_api_key OpenAI_Api_Key ssh_auth_sock",
}
# What training needs: trackers, data and models from elsewhere, packages, the machine itself; and what only
# looks like one of those above.
NEEDED = {
    "trackers": """
WANDB_API_KEY WANDB_MODE COMET_API_KEY NEPTUNE_API_TOKEN MLFLOW_TRACKING_TOKEN CLEARML_API_ACCESS_KEY
DATABRICKS_TOKEN SENTRY_DSN SLACK_WEBHOOK_URL
""",
    "data and models": """
HF_TOKEN HUGGING_FACE_HUB_TOKEN MODELSCOPE_API_TOKEN KAGGLE_KEY NGC_API_KEY AWS_ACCESS_KEY_ID
AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE GOOGLE_APPLICATION_CREDENTIALS AZURE_STORAGE_KEY
AZURE_STORAGE_CONNECTION_STRING AZURE_CLIENT_SECRET
""",
    "packages": "PIP_INDEX_URL UV_INDEX_CORP_PASSWORD UV_CACHE_DIR POETRY_HTTP_BASIC_CORP_PASSWORD",
    "the machine": """
PATH HOME CUDA_VISIBLE_DEVICES OMP_NUM_THREADS http_proxy HTTPS_PROXY SSL_CERT_FILE LD_LIBRARY_PATH
VIRTUAL_ENV CONDA_PREFIX OLLAMA_HOST VAULT_ADDR DOCKER_HOST SSH_CONNECTION GIT_COMMIT CI CI_COMMIT_SHA
GITHUB_SHA GITHUB_WORKSPACE
""",
    "a script's own": """
AUGMENT_PROB LINEAR_LR LINEAR_PER_TOKEN STRIPE_COUNT ACTIONS_MAX OP_DETERMINISM V0_INIT AMP_LEVEL ARK_SIZE
FAL_WEIGHT NOTION_OF_LOSS CI_PER_TOKEN MAX_TOKENS TOKENIZERS_PARALLELISM KEY_DIM
""",
}


def of(kinds: dict[str, str]) -> list[str]:
    """The names, whatever their kind."""
    return [name for names in kinds.values() for name in names.split()]


@every("name", of(UNWANTED))
def test_what_a_training_has_no_use_for_is_denied(name: str) -> None:
    assert denied(name, Config())


@every("name", of(NEEDED))
def test_what_training_needs_is_handed_on(name: str) -> None:
    assert not denied(name, Config())


def test_letters_count_in_either_case_in_config_toml_too() -> None:
    config = Config(deny_environment=("corp_*",), allow_environment=("github_token",))
    assert denied("CORP_KEY", config)
    assert not denied("GITHUB_TOKEN", config)


def test_a_star_stands_for_anything_wherever_it_is_and_nothing_else_is_special() -> None:
    config = Config(deny_environment=("*_PASSWORD", "MY.KEY", "A*B*C"), allow_environment=("DB_*",))
    assert denied("SMTP_PASSWORD", config)
    assert not denied("DB_PASSWORD", config)
    assert not denied("PASSWORD_HINT", config)
    assert denied("MY.KEY", config)
    assert not denied("MY_KEY", config)
    assert denied("A-B-C", config)
    assert denied("A\nBC", config)
    assert not denied("", Config())


def test_the_documented_list_is_the_one_that_counts() -> None:
    text = (Path(__file__).parents[2] / "docs/security.md").read_text()
    block = re.search(r"<!-- denied -->\n```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    documented = dict(part.split("\n", 1) for part in block[1].split("# ")[1:])
    assert {kind: tuple(names.split()) for kind, names in documented.items()} == KINDS
    assert list(documented) == list(KINDS)


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session; its daemon was started by a client full of secrets."""
    lab.environment.update(ANTHROPIC_API_KEY=SECRET, SSH_AUTH_SOCK=SECRET, HF_TOKEN=SECRET)
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
        assert not {"ANTHROPIC_API_KEY", "SSH_AUTH_SOCK"} & set(seen), name
        assert seen["AR_RUN_ID"] == "r0001", name
    pid = shell.json("daemon", "status")["pid"]
    assert SECRET.encode() not in (into(pid) / "environ").read_bytes()
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


def test_no_guess_of_a_secret_can_be_tried_against_the_hash_in_run_json(lab: Lab) -> None:
    """Though it is the same for two runs that got the same, also from another daemon."""
    lab.ready()
    one, same, other = (given(lab, pin) for pin in ("4711", "4711", "4712"))
    lab.kill()
    lab.start()
    assert one == same == given(lab, "4711") != other
    guess = {
        name: value
        for name, value in lab.environment.items()
        if not denied(name, Config()) and name not in OF_A_SHELL
    }
    guesses = (f"{pin:04}" for pin in range(4000, 5000))
    plain = (json.dumps(sorted({**guess, "PIN": pin}.items())).encode() for pin in guesses)
    assert one not in {hashlib.sha256(text).hexdigest() for text in plain}
    key = lab.home / "fingerprint.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not any(key.read_bytes() in path.read_bytes() for path in lab.project.rglob("*") if path.is_file())


def given(lab: Lab, pin: str) -> str:
    """The hash of a run with this secret in its environment."""
    run_id = lab.submit(environment={**lab.environment, "PIN": pin})["run_id"]
    lab.wait(run_id)
    return str(lab.read(f"runs/{run_id}/run.json")["environment_sha256"])


@pytest.mark.parametrize("broken", ["torn", "a link", "a FIFO"])
def test_a_broken_key_is_replaced_and_the_log_says_what_ends(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, elsewhere = tmp_path / "key", tmp_path / "elsewhere"
    elsewhere.write_bytes(bytes(32))
    if broken == "torn":
        path.write_bytes(b"torn")
    elif broken == "a link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)
    made = secret.key(path, "all sessions end")
    (line,) = caplog.records
    assert line.__dict__["facts"]["ends"] == "all sessions end"
    assert os.path.lexists(tmp_path / "key.broken")
    assert (len(made), made, path.is_symlink()) == (32, path.read_bytes(), False)
    assert made == secret.key(path, "")
    assert elsewhere.read_bytes() == bytes(32)


def test_a_key_that_is_swept_away_half_written_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that share the folder do not see each other's processes, so each takes them for ended."""

    def sweep(operation: str, *_: object) -> None:
        if operation == "link":
            monkeypatch.setattr(operations, "hook", None)
            for half in tmp_path.iterdir():
                half.unlink()

    monkeypatch.setattr(operations, "hook", sweep)
    made = secret.key(tmp_path / "key", "")
    assert operations.hook is None
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("key", made)]


def test_processes_that_make_the_key_at_once_have_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, others = tmp_path / "key", []

    def another(*_: object) -> None:
        """Make the key in the moment in which this process has found none and begins to make it."""
        monkeypatch.setattr(operations, "hook", None)
        others.append(secret.key(path, ""))

    monkeypatch.setattr(operations, "hook", another)
    assert [secret.key(path, "")] == others
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]
