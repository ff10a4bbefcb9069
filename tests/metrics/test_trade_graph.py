"""Which pairs of traders lie on a cycle, against a search of every path."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, select

from onchain_agg.metrics.trade_graph import MOST_PAIRS, cycles

pytestmark = pytest.mark.data

EDGE = Table(
    "made_edge",
    MetaData(),
    Column("collection", Text),
    Column("token_id", Integer),
    Column("seller", Text),
    Column("buyer", Text),
    prefixes=["TEMPORARY"],
)


@pytest.fixture
def found(connection):
    """Return the edges on a cycle that the query finds: of several graphs, by their tokens."""
    EDGE.create(connection)

    def run(graphs, longest):
        connection.execute(EDGE.delete())
        rows = [
            {"collection": "0x0c", "token_id": token, "seller": seller, "buyer": buyer}
            for token, edges in enumerate(graphs)
            for seller, buyer in edges
        ]
        if rows:
            connection.execute(EDGE.insert(), rows)
        circle = cycles(select(*EDGE.c).cte("edge"), longest)
        result = [set() for _ in graphs]
        for _, token, seller, buyer in connection.execute(select(*circle.c)):
            result[token].add((seller, buyer))
        return result

    return run


def on_a_cycle(edges, longest):
    """Return the edges on a simple cycle of three to *longest* nodes: every path is walked."""
    nodes = sorted({node for edge in edges for node in edge})
    return {
        edge
        for length in range(3, longest + 1)
        for ring in permutations(nodes, length)
        if all(step in edges for step in zip(ring, ring[1:] + ring[:1], strict=True))
        for edge in zip(ring, ring[1:] + ring[:1], strict=True)
    }


def graphs_of(nodes, most):
    node = st.sampled_from("abcdefgh"[:nodes])
    edge = st.tuples(node, node).filter(lambda pair: pair[0] != pair[1])
    return st.lists(st.frozensets(edge, max_size=most), min_size=1, max_size=12)


@pytest.mark.parametrize("longest", [3, 4])
def test_every_graph_of_four_traders_has_the_cycles_that_a_search_finds(found, longest):
    pairs = list(permutations("abcd", 2))
    graphs = [set(some) for count in range(8) for some in combinations(pairs, count)]

    result = found(graphs, longest)

    assert len(graphs) == 3302
    assert result == [on_a_cycle(edges, longest) for edges in graphs]


def test_random_graphs_have_the_cycles_that_a_search_finds(found):
    @given(graphs=graphs_of(7, 16), longest=st.integers(3, 6))
    def holds(graphs, longest):
        assert found(graphs, longest) == [on_a_cycle(edges, longest) for edges in graphs]

    holds()


def test_a_token_of_more_pairs_than_are_looked_at_has_no_cycle(found):
    def rings(count):
        return {
            (f"{n} {one}", f"{n} {other}")
            for n in range(count)
            for one, other in permutations("abcde", 2)
        }

    result = found([rings(MOST_PAIRS // 20), rings(MOST_PAIRS // 20 + 1)], 5)

    assert result == [rings(MOST_PAIRS // 20), set()]
