"""Reading a vendor's response body."""

import aiohttp


async def read_bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Read a response body up to ``max_bytes``, however many chunks it arrives in."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])
