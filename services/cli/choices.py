"""What is said of an argument that is none of its choices."""

from typing import Any

import typer
from typer.core import TyperGroup

_LIBRARYS_OWN = "Value error, "


class ChoosyGroup(TyperGroup):
    """The commands, without the words that the library puts before such a message."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # noqa: ANN401 - the library's signature
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix(_LIBRARYS_OWN)
            raise
