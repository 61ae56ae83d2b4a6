"""``onnxtop help``: what ``--help`` tells, for those who ask in words."""

import click

from onnxtop.cli import EXIT_CODES, VERBS, Command, unknown_verb
from onnxtop.cli.completion import VerbName
from onnxtop.cli.outputs import say


@click.command("help", cls=Command, epilog=EXIT_CODES)
@click.argument("verb", required=False, type=VerbName())
@click.pass_context
def command(ctx: click.Context, verb: str | None) -> int:
    """Show what a verb does and its options.

    Without VERB, list the verbs.
    """
    whole = ctx.find_root()
    if verb is None:
        say(whole.get_help())
        return 0
    if verb not in VERBS:
        raise click.UsageError(unknown_verb(verb), ctx)
    assert isinstance(whole.command, click.Group)
    asked = whole.command.get_command(whole, verb)
    assert asked is not None
    say(asked.get_help(click.Context(asked, info_name=verb, parent=whole)))
    return 0
