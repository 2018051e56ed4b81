"""
Completion, in the shells themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import iris_twisted
from iris_twisted.daemon.completion import script

from ..test_documentation import DOCS, fences
from ..test_packaging import PATH

LOADER = "/usr/share/bash-completion/bash_completion"

BASH = """
source {script}
try() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _iris_twisted; echo "${{COMPREPLY[*]}}"; }}
"""
# A terminal in a terminal: the words are typed, and the key is pressed.
ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1='ready> '; source {script}; print loa''ded"
zpty -r z out '*loaded*ready> '
zpty -w -n z $'{typed}\\t'
zpty -r z out '*{wanted}*'
print -r -- "$out"
zpty -d z
"""
CASES = (
    (
        "twist iris-",
        "iris-sandbox iris-call iris-outbox iris-operator iris-cluster iris-cluster-demo",
    ),
    ("twist iris-operator --operators x pa", "passwd"),
    ("twist iris --tok", "--token-file"),
    ("twist iris --output j", "json"),
    ("twist iris -o j", "json"),
    ("twist iris -s fi", "file:"),
    ("twist iris --sink = ka", "kafka:"),
    ("twist iris --dialect = fr", "framed"),
    ("twist iris --check =", "online"),
    ("twist iris --check = on", "online"),
    ("twist iris --check on", ""),
    ("twist iris-cluster --database x set --copi", "--copies"),
    ("twist iris --spool list --in", "--insecure"),
    ("twist iris-call --hang", "--hang-up"),
    ("twist iris-sandbox --tl", "--tls"),
    ("twist iris-outbox --spool x pu", "purge"),
    ("twist iris-outbox --spool x purge --a", "--all"),
    ("twist --log-level warn iris --log", ""),
    ("twist --log-le", "--log-level"),
    ("twist iris --token-file al", ""),
)


class Completion(SynchronousTestCase):
    """What is offered."""

    def script(self, shell: str) -> Path:
        path = Path(self.mktemp()).absolute()
        path.write_text(script(shell))
        return path

    def test_bash(self) -> None:
        """Commands, options and values; nothing where a file is wanted, for which bash offers files."""
        text = BASH.format(script=self.script("bash"))
        for typed, _ in CASES:
            words = " ".join(f'"{word}"' for word in typed.split(" "))
            text += f"try {words}\n"
        bash = shutil.which("bash")
        if bash is None:
            raise SkipTest("bash is missing: apt-get install bash")
        ran = subprocess.run([bash, "-c", text], capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.stderr, "")
        for (typed, wanted), said in zip(CASES, ran.stdout.split("\n"), strict=False):
            self.assertEqual(said, wanted, typed)

    def test_zsh(self) -> None:
        """The same in zsh: a key is pressed, and the word is there."""
        zsh = shutil.which("zsh")
        if zsh is None:
            raise SkipTest("zsh is missing: apt-get install zsh")
        path = self.script("zsh")
        for typed, wanted in (("twist iris --tok", "--token-file"), ("twist iris-ca", "iris-call")):
            text = ZSH.format(script=path, typed=typed, wanted=wanted)
            ran = subprocess.run(
                [zsh, "-f", "-c", text], capture_output=True, text=True, timeout=60
            )
            self.assertIn(wanted, ran.stdout, ran.stderr)

    def test_page(self) -> None:
        """What the page says to type makes each shell complete, bash through its package."""
        if not Path(LOADER).exists():
            raise SkipTest("bash-completion is missing: apt-get install bash-completion")
        home = Path(self.mktemp()).absolute()
        home.mkdir()
        environment = {
            "HOME": str(home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        }
        (commands, _) = fences(DOCS / "how-to" / "terminal.md", "sh")
        for line in (*commands.splitlines(), f"source {LOADER}; _completion_loader twist"):
            ran = subprocess.run(
                ["bash", "-c", f"{line}\ncomplete -p twist 2>&1"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(ran.stderr, "", line)
        self.assertIn("-F _iris_twisted", ran.stdout)
        self.assertEqual((home / ".iris-twisted.zsh").read_text(), script("zsh"))
        self.assertEqual((home / ".zshrc").read_text(), "source ~/.iris-twisted.zsh\n")

    def test_command(self) -> None:
        """The module prints it; for another shell it says which there are."""
        for arguments, status in ((["bash"], 0), (["fish"], 1), ([], 1)):
            code = (
                PATH
                + "import runpy\nrunpy.run_module('iris_twisted.daemon.completion', run_name='__main__')"
            )
            ran = subprocess.run(
                [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
            )
            self.assertEqual(ran.returncode, status, ran.stderr)
            self.assertIn("bash", ran.stdout if status == 0 else ran.stderr)
