"""``onnxtop rules``: the catalogue, a line a rule."""

import click

from onnxtop.cli import EXIT_CODES, Command
from onnxtop.cli.outputs import say


@click.command("rules", cls=Command, epilog=EXIT_CODES)
def command() -> int:
    """List the rules of check.

    A line tells the code, the severity and the name of a rule.

    ``onnxtop explain NAME`` tells more about one of them.
    """
    from onnxtop.rules.catalogue import FAMILIES, RULES

    lines: list[str] = []
    for family, title in FAMILIES.items():
        lines += [*([""] if lines else []), f"{family}  {title}"]
        lines += [
            f"  {rule.code}  {rule.severity:7}  {rule.name}" for rule in RULES if rule.code.startswith(family)
        ]
    say("\n".join(lines))
    return 0
