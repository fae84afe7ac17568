"""WebSocket: handshake, frames, compression (RFC 6455, RFC 7692, RFC 8441).

`handshake` answers the opening request. `codec` makes `events` of frames and frames of commands; `deflate`
compresses messages, `masking` removes the mask of a client's frames, `control` reads its control frames.
`frames` writes ours.

Must not know HTTP/1 or HTTP/2 connections: a head comes in, bytes go out.
"""
