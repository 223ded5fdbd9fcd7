import asyncio
import time

from django.conf import settings

from synthweb.turns import TURN_S, Turns

AT_ONCE = settings.PAGES_AT_ONCE


async def _work(turns: Turns, seconds: float, seen: list[int]) -> float:
    """Take a turn, note how many are at it, work; the time waited for the turn in s."""
    began = time.monotonic()
    async with turns.turn():
        waited = time.monotonic() - began
        seen[0] += 1
        seen.append(seen[0])
        await asyncio.sleep(seconds)
        seen[0] -= 1
    return waited


def test_two_work_at_once_and_the_others_wait_in_order():
    order: list[int] = []

    async def numbered(turns: Turns, number: int, seen: list[int]) -> None:
        await _work(turns, TURN_S / 10, seen)
        order.append(number)

    async def all_of_them() -> list[int]:
        turns, seen = Turns(), [0]
        await asyncio.gather(*(numbered(turns, number, seen) for number in range(8)))
        return seen[1:]

    assert max(asyncio.run(all_of_them())) == AT_ONCE
    assert order == list(range(8))


def test_who_waits_for_something_else_holds_up_nobody():
    async def all_of_them() -> float:
        turns, seen = Turns(), [0]
        slow = [asyncio.create_task(_work(turns, 60, seen)) for _ in range(3 * AT_ONCE)]
        await asyncio.sleep(0)
        waited = await _work(turns, 0, seen)
        for job in slow:
            job.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return waited

    assert 3 * TURN_S * 0.9 < asyncio.run(all_of_them()) < 10


def test_a_turn_is_given_back_once_however_it_ends():
    async def all_of_them() -> list[int]:
        turns, seen = Turns(), [0]
        jobs = [asyncio.create_task(_work(turns, 2 * TURN_S, seen)) for _ in range(2 * AT_ONCE)]
        await asyncio.sleep(TURN_S / 2)
        jobs[0].cancel()
        jobs[-1].cancel()  # still waiting for its turn
        await asyncio.gather(*jobs, return_exceptions=True)
        seen[:] = [0]
        await asyncio.gather(*(_work(turns, TURN_S / 10, seen) for _ in range(4 * AT_ONCE)))
        return seen[1:]

    assert max(asyncio.run(all_of_them())) == AT_ONCE
