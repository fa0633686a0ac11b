"""What a shipment costs and the tax in it. Whole minor units throughout, so that every sum is exact.

Prices include the tax. The lines are added up by tax rate. Whatever else belongs to the total, the shipping cost above
all, shares the tax of the goods: it is spread over the rates in proportion to the goods' amounts, by largest remainder.
The tax of a rate is `gross * rate / (1 + rate)`, rounded once, half to even; net is what is left. So net and tax add up
to gross in every row, and the rows to the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from service.documents.content import Line


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """Everything of one tax rate."""

    rate: Decimal
    gross: int
    tax: int

    @property
    def net(self) -> int:
        """The amount without its tax."""
        return self.gross - self.tax


@dataclass(frozen=True, slots=True)
class Amounts:
    """The sums of a shipment. `goods + shipping + adjustment == total == sum(group.gross)`."""

    goods: int
    shipping: int
    adjustment: int
    total: int
    groups: tuple[TaxGroup, ...]

    @property
    def tax(self) -> int:
        """The tax in the total."""
        return sum(group.tax for group in self.groups)


def add_up(lines: Sequence[Line], *, shipping: int, captured: int | None = None) -> Amounts:
    """Return the sums of a shipment, whose total is `captured` if there is one.

    `adjustment` is how far the capture is from goods and shipping: below zero where the authorization had less left.
    """
    by_rate: dict[Decimal, int] = {}
    for line in lines:
        by_rate[line.tax_rate] = by_rate.get(line.tax_rate, 0) + line.quantity * line.unit_price
    goods = sum(by_rate.values())
    total = goods + shipping if captured is None else captured
    rates = sorted(by_rate, reverse=True)
    shares = _spread(total - goods, [by_rate[rate] for rate in rates])
    groups = [_group(rate, by_rate[rate] + share) for rate, share in zip(rates, shares, strict=True)]
    billed = tuple(group for group in groups if group.gross) or tuple(groups[:1])
    return Amounts(goods=goods, shipping=shipping, adjustment=total - goods - shipping, total=total, groups=billed)


def _group(rate: Decimal, gross: int) -> TaxGroup:
    share = Fraction(rate)
    # round() of a fraction is exact and goes half to even.
    return TaxGroup(rate, gross, round(gross * share / (1 + share)))


def _spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` in proportion to `weights`, by largest remainder; all of it to the first if all weigh nothing."""
    whole = sum(weights)
    if not whole:
        return [amount, *[0] * (len(weights) - 1)]
    parts = [divmod(amount * weight, whole) for weight in weights]
    left = amount - sum(part for part, _ in parts)
    first = sorted(range(len(parts)), key=lambda index: -parts[index][1])[:left]
    return [part + (index in first) for index, (part, _) in enumerate(parts)]
