"""Reading answers off the network, whoever sent them."""

import aiohttp


async def read_bounded(content: aiohttp.StreamReader, most: int) -> bytes:
    """Read an answer to its end or to the bound in bytes, however many pieces it comes in."""
    answer = bytearray()
    async for piece in content.iter_any():
        answer += piece
        if len(answer) >= most:
            break
    return bytes(answer[:most])
