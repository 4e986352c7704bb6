"""A question to a person at the keyboard."""

import signal
import sys
from subprocess import PIPE, Popen

import pytest

_ASKING = "from services.cli.client import is_confirmed; print(is_confirmed('all of it?'))"


def asked() -> Popen[str]:
    """A process that has put its question, and waits for the answer."""
    process = Popen([sys.executable, "-c", _ASKING], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
    assert process.stderr
    question = ""
    while not question.endswith("(n): "):
        letter = process.stderr.read(1)
        assert letter, question
        question += letter
    assert question == "all of it? [y/n] (n): "
    return process


@pytest.mark.parametrize(("typed", "answer"), [("y\n", "True"), ("n\n", "False"), ("\n", "False"), ("", "False")])
def test_only_a_yes_is_one(typed: str, answer: str) -> None:
    with asked() as process:
        out, _ = process.communicate(typed, timeout=60)
    assert (out.strip(), process.returncode) == (answer, 0)


def test_the_first_interrupt_ends_the_command() -> None:
    with asked() as process:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGINT
