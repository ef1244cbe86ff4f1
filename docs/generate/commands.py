"""The command reference, from the command line itself.

Requirements: typer. No framework is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.generate import table


def commands() -> dict[str, Any]:
    """Every command by name, in the order of the help page, each with its context."""
    top, context = _top()
    return {
        name: (command, type(context)(command, info_name=name, parent=context))
        for name, command in top.commands.items()
    }


def _top() -> tuple[Any, Any]:
    import typer.main

    from fastism.cli.app import application

    group = typer.main.get_command(application())
    return group, group.make_context("fastism", [], resilient_parsing=True)


def commands_reference() -> str:
    """One section per command: what it does, its arguments and options."""
    parts = []
    for name, (command, context) in commands().items():
        parts += [
            f"## fastism {name}",
            _paragraphs(command.help or ""),
            f"```console\n$ {_usage(name, command, context)}\n```",
            *_parameters(command, context),
        ]
    return "\n\n".join(parts)


def command_list() -> str:
    """The commands in one table, each with the first sentence of its help."""
    rows = [
        [f"[`fastism {name}`](#fastism-{name})", _paragraphs(command.help or "").split("\n\n")[0]]
        for name, (command, _) in commands().items()
    ]
    return table(["command", "what it does"], rows)


def exit_codes() -> str:
    """The table of exit codes."""
    from fastism.cli.exit_codes import Exit

    return table(
        ["code", "name", "meaning"],
        [[str(int(code)), code.name.lower(), code.meaning] for code in Exit],
        right=(0,),
    )


def _usage(name: str, command: Any, context: Any) -> str:
    """One line with everything that must be given."""
    pieces = " ".join(command.collect_usage_pieces(context)).replace("{", "").replace("}", "")
    needed = [
        parameter.get_help_record(context)[0].split(", ")[-1]
        for parameter in command.get_params(context)
        if parameter.param_type_name == "option" and parameter.required
    ]
    return " ".join(["fastism", name, pieces, *needed])


def _parameters(command: Any, context: Any) -> Iterator[str]:
    parameters = command.get_params(context)
    for heading, kind in (("argument", "argument"), ("option", "option")):
        rows = []
        for parameter in parameters:
            record = parameter.get_help_record(context)
            if parameter.param_type_name == kind and record is not None:
                # Blanks that do not break keep an option and its value on one line.
                rows.append([f"`{record[0]}`", record[1].replace("<", "&lt;")])
        if rows:
            yield table([heading, "meaning"], rows)


def _paragraphs(text: str) -> str:
    """Help text with the line breaks of the source undone."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
