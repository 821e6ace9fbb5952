"""What the user states about the columns of published tables (`--external-column ROLE=COLUMN`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bob.errors import ConfigError, nearest

Role = Literal["name", "dataset", "higher", "lower", "ignore"]
"""name: names the backbone; several are joined. dataset: names the dataset of each row. higher,
lower: scores where higher or lower is better. ignore: no scores."""
FLAG = "--external-column"


@dataclass(frozen=True)
class ColumnRoles:
    """Roles of columns, in the order in which they were stated."""

    pairs: tuple[tuple[Role, str], ...] = ()

    def columns(self, role: Role, header: Sequence[str]) -> list[str]:
        """Return the columns of a table that have a role, spelt as in its header."""
        spelt = {name.casefold(): name for name in reversed(header)}
        stated = [column.casefold() for each, column in self.pairs if each == role]
        return [spelt[column] for column in dict.fromkeys(stated) if column in spelt]

    def check(self, headers: Iterable[Sequence[str]]) -> None:
        """Raise ConfigError if a column occurs in none of the tables."""
        names = [name for header in headers for name in header]
        present = {name.casefold() for name in names}
        for role, column in self.pairs:
            if column.casefold() not in present:
                raise ConfigError(
                    f"{FLAG} {f'{role}={column}'!r}: no table has a column of that name"
                    f"{nearest(column, names)}"
                )


NO_ROLES = ColumnRoles()


def parse_roles(texts: Iterable[str]) -> ColumnRoles:
    """Parse texts such as `name=model` and `lower=top1_err`.

    Raises
    ------
    ConfigError
        If a text is not ROLE=COLUMN, if the role is unknown, or if a column has several roles.
    """
    roles: dict[str, tuple[Role, str]] = {}
    for text in texts:
        role, equals, column = text.partition("=")
        column = column.strip()
        if role not in get_args(Role) or not equals or not column:
            raise ConfigError(
                f"{FLAG} {text!r}: expected ROLE=COLUMN, where ROLE is one of "
                f"{', '.join(get_args(Role))}."
            )
        if roles.setdefault(column.casefold(), (role, column))[0] != role:  # type: ignore[arg-type]
            raise ConfigError(
                f"{FLAG} {text!r}: the column already has the role {roles[column.casefold()][0]!r}."
            )
    return ColumnRoles(tuple(roles.values()))


def flag_texts(role: Role, columns: Iterable[str]) -> str:
    """Return the flags that give columns a role, as one types them."""
    return " ".join(f"{FLAG} '{role}={column}'" for column in columns)
