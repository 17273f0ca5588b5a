"""A page of the documentation with a table in it that a command writes, between two marks."""

from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"


class Page(NamedTuple):
    """The page, and the marks around its table."""

    path: Path
    begin: str
    end: str

    def lines(self) -> list[str]:
        """What stands between them now."""
        _, _, rest = self.path.read_text(encoding="utf-8").partition(self.begin)
        return rest.partition(self.end)[0].strip("\n").splitlines()

    def write(self, text: str) -> None:
        """Put that in its place."""
        before, _, rest = self.path.read_text(encoding="utf-8").partition(self.begin)
        _, _, after = rest.partition(self.end)
        self.path.write_text(f"{before}{self.begin}\n{text}\n{self.end}{after}", encoding="utf-8")
