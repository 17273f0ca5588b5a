"""`arctl report`: what an experiment's runs have shown, for whoever chooses the next one."""

import click

from arctl.base import Here, common, say, say_json


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
    help="Markdown to read, or its content as JSON (as --json does).",
)
@click.option("--all", "everything", is_flag=True, help="Every list whole, however long the report is then.")
@common
def report(expr: str | None, as_json: bool, form: str, everything: bool) -> None:
    """Show what all runs have shown, in 8 KiB."""
    form = "json" if as_json else form
    answer = Here(expr).ask("report.get", format=form, all=everything)
    if form == "json":
        say_json(answer["summary"])
    else:
        say(answer["text"].rstrip("\n"))
