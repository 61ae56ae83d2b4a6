"""``onnxtop explain``: what a rule or a figure means, how it is measured, its limits, its source."""

import textwrap

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.errors import UsageError

_WIDTH = 80


@click.command("explain", epilog=EXIT_CODES)
@click.argument("name")
def command(name: str) -> int:
    """Explain a rule or a figure: what it means, how it is measured.

    NAME is a code or a name that ``onnxtop rules`` lists, or a figure such as np, z, dgp or variance.
    """
    from onnxtop.rules.catalogue import RULES, find_rule
    from onnxtop.rules.figures import FIGURES, find_figure

    rule, figure = find_rule(name), find_figure(name)
    if rule is not None:
        title = f"{rule.code} {rule.name}: {rule.severity}"
        parts = {
            "what": rule.what,
            "why": rule.why,
            "how": rule.how,
            "false alarms": rule.false_alarms,
            "source": rule.source,
        }
    elif figure is not None:
        title = f"{figure.name}: {figure.title}"
        parts = {"what": figure.what, "how": figure.how, "limits": figure.limits, "source": figure.source}
    else:
        from onnxtop.options import did_you_mean

        known = [word for rule in RULES for word in (rule.code, rule.name)]
        known += [word for each in FIGURES for word in (each.name, *each.also)]
        raise UsageError(f"there is no rule and no figure {name!r}{did_you_mean(name.lower(), known)}")
    click.echo("\n".join([title, *(_part(label, text) for label, text in parts.items())]))
    return 0


def _part(label: str, text: str) -> str:
    return "\n" + textwrap.fill(text, _WIDTH, initial_indent=f"{label}: ", subsequent_indent="  ")
