"""The whole ``harken`` command: listening, training and exporting."""

from .edge.app.cli import app, main
from .edge.app.grammar_cli import grammar_app
from .export.cli import export_command
from .train.average_cli import average_command
from .train.cli import train_command
from .train.context.grammar_cli import train_prior_command
from .train.eval_cli import eval_command
from .train.mine_cli import mine_command
from .train.own.new_cli import new_command
from .train.synth.rooms_cli import rooms_command
from .train.synth.synth_cli import synth_command
from .train.teachers.cli import teach_command
from .train.tune_cli import tune_command

app.command("train")(train_command)
app.command("average")(average_command)
app.command("eval")(eval_command)
app.command("tune")(tune_command)
app.command("teach")(teach_command)
app.command("mine")(mine_command)
app.command("export")(export_command)
app.command("rooms")(rooms_command)
app.command("synth")(synth_command)
app.command("new")(new_command)
grammar_app.command("train")(train_prior_command)

__all__ = ["app", "main"]
