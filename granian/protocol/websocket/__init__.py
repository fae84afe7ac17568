"""WebSocket: handshake, frames, compression (RFC 6455, RFC 7692, RFC 8441).

Must not know HTTP/1 or HTTP/2 connections: a head comes in, bytes go out.
"""
