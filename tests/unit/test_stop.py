from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from service.stop import stop_on_signals

STUBBORN = """
import asyncio
from service.stop import stop_on_signals

async def main():
    with stop_on_signals() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("asked", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stop.wait()


@pytest.mark.parametrize("asked", [True, False])
async def test_the_handlers_of_before_return(asked: bool) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_on_signals() as stop:
        if asked:
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(5):
                await stop.wait()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
def test_the_second_signal_kills(first: signal.Signals, second: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(first)
            assert "stop_requested" in process.stdout.readline()
            assert process.stdout.readline() == "asked\n"
            process.send_signal(second)
            assert process.wait(10) == -second
        finally:
            process.kill()
