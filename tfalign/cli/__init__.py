"""The command ``tfalign``: one small file per subcommand, over the functions that recipes use.

A subcommand's file has ``options(prog)``, its argument parser, and ``run(arguments)``, which does
the work, prints for people and returns plain data. In it ``"passed": False`` stands for a check
that found a difference, ``"errors"`` for what was left out. It may have ``next_steps(arguments,
result)``, the commands that a user may want now, each as its words. ``program`` does the rest for
all: ``--json``, one-line errors, exit codes and Ctrl-C. The list of subcommands is in
``tfalign_command``, beside this package, which starts the command without waiting for Keras.
"""
