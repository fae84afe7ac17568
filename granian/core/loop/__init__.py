"""The asyncio core: one event loop owns every connection of an ASGI or RSGI worker.

Knows asyncio and the protocol objects. Must not know `core.blocking`.
"""
