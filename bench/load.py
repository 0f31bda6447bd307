"""The client: a bounded number of requests at a bounded concurrency, from a process of its own.

Prints requests per second and latencies as JSON. Any answer but 200 fails the measurement.
"""

import asyncio
import json
import sys
import time

import aiohttp

from bench.jobs import percentiles


async def main(url: str, requests: int, concurrency: int) -> None:
    seconds: list[float] = []
    left = iter(range(requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            started = time.perf_counter()
            async with session.get(url) as response:
                await response.read()
                if response.status != 200:
                    raise SystemExit(f"{url} answered {response.status}")
            seconds.append(time.perf_counter() - started)

    async with aiohttp.ClientSession() as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(concurrency)))
        elapsed = time.perf_counter() - started
    latencies = {f"{name}_ms": 1000 * value for name, value in percentiles(seconds).items()}
    print(json.dumps({"requests_per_second": requests / elapsed} | latencies))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
