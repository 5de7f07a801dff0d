"""What a model says of an input or output, before any data: a name, a type, and sizes that are numbers or may vary."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze.interface import named_batch_axes

# A size that is a text may vary; the text is its name, empty where the model gives none.
Size = int | str


@dataclass(frozen=True)
class End:
    """`dtype` is a NumPy name. `sizes`: all axes in the model's order; None where not even their number is said."""

    name: str
    dtype: str
    sizes: tuple[Size, ...] | None

    def batch_axes(self) -> list[int]:
        """Axes whose name says that they are the batch, the likeliest first."""
        return named_batch_axes(self.sizes or ())

    def __str__(self) -> str:
        if self.sizes is None:
            return f"'{self.name}' {self.dtype}"
        return f"'{self.name}' {self.dtype} [{', '.join(str(d or '?') for d in self.sizes)}]"
