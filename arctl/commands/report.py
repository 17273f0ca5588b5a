"""`arctl report`: what an experiment's runs have shown, for whoever chooses the next one."""

import click

from arctl.base import Here, common, say, say_json
from arctl.commands.report_page import Page
from ardaemon.core.errors import UsageError


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
@click.option("--html", is_flag=True, help="Write the history as one HTML file, to be looked at.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="With --html: the file; - is the standard output. Default: report-SLUG.html in the current folder.",
)
@click.option(
    "--watch", is_flag=True, help="With --html: write it anew at each commit; Ctrl+C stops the command."
)
@click.option("--audit", is_flag=True, help="With --html: show the hidden audit too, for a person alone.")
@common
def report(
    expr: str | None,
    as_json: bool,
    form: str,
    everything: bool,
    html: bool,
    output: str | None,
    watch: bool,
    audit: bool,
) -> None:
    """Show what all runs have shown, in 8 KiB.

    --html writes a page instead: progress, every run, notes and diffs, in one file of 600 KB at most.
    """
    if html:
        if everything or form == "json":
            raise UsageError("--format and --all belong to the report as text", "arctl report --html")
        page = Page(expr, output, as_json, audit)
        (page.watch if watch else page.write)()
        return
    if watch or audit or output is not None:
        raise UsageError(
            "--watch, --audit and -o belong to --html", "arctl report --html [-o FILE] [--watch] [--audit]"
        )
    form = "json" if as_json else form
    answer = Here(expr).ask("report.get", format=form, all=everything)
    if form == "json":
        say_json(answer["summary"])
    else:
        say(answer["text"].rstrip("\n"))
