"""Blocks of the heap never overlap, whatever was freed and merged before. One queue for each block frees them in any order."""

from __future__ import annotations

import random
from typing import Any

import pytest

import procession  # noqa: F401  (gives the core its serializer)
from procession import _core

PAGE = 4096


def item(pages: int, fill: int) -> bytes:
    return bytes([fill]) * (pages * PAGE - 64)


class Blocks:
    """Named blocks, each in a queue of its own."""

    def __init__(self, queues: int) -> None:
        self.domain = _core.Domain.create(max_bytes=256 << 20)
        self.free_rings = [_core.Ring(self.domain) for _ in range(queues)]
        self.live: dict[Any, tuple[_core.Ring, bytes]] = {}

    def put(self, name: Any, pages: int) -> None:
        ring = self.free_rings.pop()
        content = item(pages, len(self.live) % 251 + 1)
        ring.put(content)
        self.live[name] = ring, content

    def take(self, name: Any) -> bool:
        ring, content = self.live.pop(name)
        self.free_rings.append(ring)
        return bool(ring.get() == content)


def test_block_merged_with_the_one_before_it_is_not_found_any_more() -> None:
    blocks = Blocks(8)
    for name, pages in (("before", 8), ("large", 32), ("guard", 8)):
        blocks.put(name, pages)
    blocks.take("large")  # here a search for as much begins next time
    blocks.put("first", 8)
    blocks.put("second", 24)
    blocks.take("first")
    blocks.take("before")  # merges with the first: where the search begins is inside of a block now
    blocks.take("second")
    blocks.put("a", 32)
    blocks.put("b", 16)
    assert blocks.take("a")
    assert blocks.take("b")


@pytest.mark.parametrize("seed", range(1, 4))
def test_blocks_keep_their_bytes(seed: int) -> None:
    rng = random.Random(seed)
    blocks = Blocks(40)
    for number in range(1200):
        if blocks.live and (rng.random() < 0.5 or not blocks.free_rings):
            assert blocks.take(rng.choice(list(blocks.live))), number
        else:
            blocks.put(number, rng.randrange(5, 40))
