"""What the sales of a token, taken together, say of each: sold back, sold often, sold in a circle.

A token's sales are a directed graph: addresses are its nodes, and an edge goes from a seller to a
buyer, once, however often they traded. Sales to oneself are no edges.

Whether an edge u → v lies on a simple cycle of length 3 to k follows from walks alone: it does if
there is a walk of 2 to k - 1 edges from v to u that neither begins with the edge v → u nor comes
back to v. The shortest such walk passes no node twice. So it is enough to know, for each node and
number of edges, where walks lead, and by which first steps: the lowest and the highest one tell
whether any of them differs from u. No path is listed, and a token of n nodes and m edges costs
n · m comparisons a level at most.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from onchain_agg.chains import ERC1155

SOLD_BACK, SOLD_OFTEN, SOLD_IN_A_CIRCLE = 2, 4, 32
# What of a sale's flags other sales decide.
OF_THE_GRAPH = SOLD_BACK | SOLD_OFTEN | SOLD_IN_A_CIRCLE
# Sales of one token by or to one address, from which on it is often.
OFTEN = 3
LONGEST_CYCLE = 5
# More than a token that exists once ever sees. Bounds what one token costs.
MOST_PAIRS = 500
_SHORTEST_CYCLE = 3


def graph_flags(sale: Select[Any]) -> Select[Any]:
    """Return all rows of *sale* with those of the flags that sales of one token decide together.

    PostgreSQL cannot know how many sales a few tokens have, so nothing here is joined: what it took
    for one row would be compared with all.

    Args:
        sale: All sales of some tokens, with ``collection``, ``token_id``, ``standard``, ``seller``,
            ``buyer``.

    Columns: those of *sale*, ``flags``.
    """
    one = sale.cte("sale")
    of = (one.c.collection, one.c.token_id)
    seller, buyer = one.c.seller, one.c.buyer
    circle = cycles(select(*of, seller, buyer).where(seller != buyer).distinct().cte("edge"))
    # Of the two directions of a pair both were sold in. A sale to oneself is a pair of its own.
    pair = (*of, func.least(seller, buyer), func.greatest(seller, buyer))
    first, last = (which(seller).over(partition_by=pair) for which in (func.min, func.max))
    many = or_(
        func.count().over(partition_by=(*of, seller)) >= OFTEN,
        func.count().over(partition_by=(*of, buyer)) >= OFTEN,
    )
    exists_once = one.c.standard.is_distinct_from(ERC1155)
    in_a_circle = tuple_(*of, seller, buyer).in_(select(*circle.c))
    flags = (
        flag(first != last, SOLD_BACK)
        + flag(and_(exists_once, many), SOLD_OFTEN)
        + flag(in_a_circle, SOLD_IN_A_CIRCLE)
    )
    return select(*one.c, flags.label("flags"))


def cycles(edge: CTE, longest: int = LONGEST_CYCLE) -> CTE:
    """Return the edges that lie on a simple cycle of three to *longest* nodes of their token.

    Args:
        edge: ``collection``, ``token_id``, ``seller``, ``buyer``, each once.
        longest: Most nodes of a cycle.

    Columns: those of *edge*.
    """
    token = _tokens(_core(edge))
    pairs = func.unnest(token.c.sellers, token.c.buyers).table_valued("seller", "buyer")
    pairs = pairs.render_derived(name="pair")
    core = select(
        cast(pairs.c.seller, Text).label("seller"), cast(pairs.c.buyer, Text).label("buyer")
    ).cte("core", nesting=True)
    circle = _edges_on_cycles(core, longest).lateral("on_cycle")
    return (
        select(token.c.collection, token.c.token_id, circle.c.seller, circle.c.buyer)
        .join_from(token, circle, true())
        .cte("circle")
    )


def flag(is_set: ColumnElement[Any], value: int) -> ColumnElement[int]:
    """Return *value* where *is_set*, else 0; what is unknown is not set."""
    return cast(case((is_set, value), else_=0), Integer)


def _core(edge: CTE) -> Select[Any]:
    """Return the edges that can be on a cycle: others of the token lead to and from them."""
    one, other = edge.c, edge.alias("other").c
    before = tuple_(one.collection, one.token_id, one.seller).in_(
        select(other.collection, other.token_id, other.buyer)
    )
    after = tuple_(one.collection, one.token_id, one.buyer).in_(
        select(other.collection, other.token_id, other.seller)
    )
    # "IS true" keeps PostgreSQL from making a join of it; it looks each row up in a hash table.
    return select(one.collection, one.token_id, one.seller, one.buyer).where(
        before.is_(True), after.is_(True)
    )


def _tokens(core: Select[Any]) -> CTE:
    """Return a row for each token that can have a cycle, with the two sides of its edges."""
    edge = core.subquery("core").c
    return (
        select(
            edge.collection,
            edge.token_id,
            func.array_agg(edge.seller).label("sellers"),
            func.array_agg(edge.buyer).label("buyers"),
        )
        .group_by(edge.collection, edge.token_id)
        .having(func.count().between(_SHORTEST_CYCLE, MOST_PAIRS))
        .cte("token")
    )


def _edges_on_cycles(core: CTE, longest: int) -> Select[Any]:
    """Return the edges of one token's *core* from whose end a walk leads back to their begin."""
    edge = core.c
    walk = select(
        edge.seller.label("source"),
        edge.buyer.label("node"),
        edge.buyer.label("lowest"),
        edge.buyer.label("highest"),
    ).cte("walk_1", nesting=True)
    arrived: list[Select[Any]] = []
    for length in range(2, longest):
        walk = _one_step_on(walk, core).cte(f"walk_{length}", nesting=True)
        arrived.append(select(*walk.c))
    back = union_all(*arrived).subquery("arrived").c
    other_way = or_(back.lowest != edge.seller, back.highest != edge.seller)
    leads_back = and_(back.source == edge.buyer, back.node == edge.seller, other_way)
    return select(edge.seller, edge.buyer).where(select(back.node).where(leads_back).exists())


def _one_step_on(walk: CTE, core: CTE) -> Select[Any]:
    """Return where walks lead that are an edge longer, with the lowest and highest first step.

    None comes back to its source.
    """
    step, edge = walk.c, core.c
    return (
        select(
            step.source,
            edge.buyer.label("node"),
            func.min(step.lowest).label("lowest"),
            func.max(step.highest).label("highest"),
        )
        .join_from(walk, core, edge.seller == step.node)
        .where(edge.buyer != step.source)
        .group_by(step.source, edge.buyer)
    )
