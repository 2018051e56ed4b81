"""
Completion in a shell for the commands of C{twist}::

    python -m iris_twisted.daemon.completion bash > ~/.local/share/bash-completion/completions/twist
    python -m iris_twisted.daemon.completion zsh > ~/.iris-twisted.zsh  # source it in ~/.zshrc

The script is made from the options themselves, and asks no Python when a key is pressed.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.application.twist._options import TwistOptions
from twisted.plugin import getPlugins

from ..sinks.registry import sinkProviders
from .option_table import OPTIONS

__all__ = ["script"]

# What an option may be set to; for all others the shell offers files.
_VALUES = {
    **{f"--{option.name}": " ".join(option.choices) for option in OPTIONS if option.choices},
    "--type": "notify cancel chat",
    "--topic": "pstn video audio chat",
    "--topics": "pstn,video pstn video audio chat",
    "--log-format": "text json",
    "--log-level": "debug info warn error critical",
}
_BASH = """\
# Completion of twist's commands for iris-twisted, made by python -m iris_twisted.daemon.completion.
_iris_twisted()
{{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    local command="" sub="" word index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word="${{COMP_WORDS[index]}}"
        case "$word" in
            {commands}) [ -n "$command" ] || command="$word" ;;
        esac
        case "$command/$word" in
            {subCommands}) sub="$word" ;;
        esac
    done
    # --name=value, which bash takes apart at the sign.
    if [ "$current" = "=" ]; then
        current="" before="$before="
    elif [ "$before" = "=" ]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}="
    fi
    COMPREPLY=()
    case "$before" in
{values}
    esac
    case "$command$sub:$current" in
{options}
    esac
}}
complete -o default -F _iris_twisted twist
"""
_ZSH = "autoload -U +X compinit bashcompinit && compinit -u && bashcompinit\n"


def _names(kind: Any) -> str:
    return " ".join(sorted({f"--{name.rstrip('=')}" for name in kind().longOpt}))


def _commands() -> dict[str, Any]:
    """The options of each command of ours, as C{twist} finds them."""
    found = {}
    for maker in getPlugins(IServiceMaker):
        command: Any = maker
        if command.tapname.split("-")[0] == "iris":
            # One whose extra is missing says so, and is not offered.
            with suppress(SystemExit):
                found[command.tapname] = command.options
    return found


def _case(pattern: str, words: str, then: str = "") -> str:
    return f'        {pattern}) COMPREPLY=($(compgen -W "{words}" -- "$current")){then} ;;'


def script(shell: str) -> str:
    """
    The script for a shell, C{bash} or C{zsh}.

    @raise ValueError: for another one.
    """
    if shell not in ("bash", "zsh"):
        raise ValueError(f"there is completion for bash and zsh, not for {shell!r}")
    sinks = (name if name == "stdout" else f"{name}:" for name in sorted(sinkProviders()))
    offered = {**_VALUES, "--sink": " ".join(sinks)}
    shorts = {f"--{option.name}": f"|-{option.short}" for option in OPTIONS if option.short}
    patterns = {f"{name}|{name}={shorts.get(name, '')}": words for name, words in offered.items()}
    # Which has a value only behind the sign.
    patterns["--check="] = "online"
    values = "\n".join(
        _case(pattern, words, "; return") for pattern, words in sorted(patterns.items())
    )
    commands = _commands()
    options = [_case(":-*", _names(TwistOptions)), _case(":*", " ".join(commands))]
    known = []
    for command, kind in commands.items():
        options.append(_case(f"{command}:-*", _names(kind)))
        subs = [(sub[0], sub[2]) for sub in getattr(kind, "subCommands", None) or ()]
        if subs:
            options.append(_case(f"{command}:*", " ".join(name for name, _ in subs)))
            options += [_case(f"{command}{name}:-*", _names(sub)) for name, sub in subs]
            known += [f"{command}/{name}" for name, _ in subs]
    text = _BASH.format(
        commands="|".join(commands),
        subCommands="|".join(known),
        values=values,
        options="\n".join(options),
    )
    return (_ZSH if shell == "zsh" else "") + text


if __name__ == "__main__":
    try:
        print(script(*sys.argv[1:]), end="")
    except (TypeError, ValueError) as e:
        sys.exit(str(e) if isinstance(e, ValueError) else __doc__)
