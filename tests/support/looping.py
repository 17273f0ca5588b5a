"""A scripted agent by MCP: it does what the server's instructions and `next` say, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

from tests.support.agents import Agent, Message

TRAIN = """RUN_NOTE = "lr {lr:g}: a smaller step, because the loss jumps"
lr = {lr:g}
print("val/loss:", {value:g})
"""


class Looping:
    """One agent's night. Each iteration edits train.py so that every third one improves."""

    def __init__(self, client: Agent) -> None:
        self.client, self.tried = client, 0
        seen = client.do("status")
        self.expr, self.train = str(seen["expr"]), Path(seen["train_py"])
        self.ends: list[str] = []  # `next` of each experiment's last run

    def iterations(self) -> Iterator[Message]:
        """Yield each verdict until `next` says to stop."""
        while True:
            outcome = self._iterate()
            yield outcome
            word = str(outcome["next"]).partition(":")[0]
            if word == "continue":
                continue
            self.ends.append(str(outcome["next"]))
            if word != "chain":
                return
            self._go_on()

    def _iterate(self) -> Message:
        self.tried += 1
        value = 1 / self.tried if self.tried % 3 == 1 else 2 + self.tried
        self.train.write_text(TRAIN.format(lr=1e-3 * self.tried, value=value))
        outcome = self.client.do("run", expr=self.expr)
        while outcome["next"] == "wait":
            outcome = self.client.do("wait", expr=self.expr, run_id=outcome["run_id"])
        return outcome

    def _go_on(self) -> None:
        report = self.client.do("report", expr=self.expr)["text"]
        slug = f"2611{23 + len(self.ends)}-next"
        made = self.client.do("chain_init", new_slug=slug, goal="lower it", rationale=report[:300])
        assert (made["expr"], made["parent"]) == (slug, self.expr)
        self.expr, self.train = slug, Path(made["train_py"])
