"""A simulated Bedrock: the real wire of runtime and control plane, with a bill of its own.

It is told what to do by markers in the prompt, so that any stock client can ask for anything:
`[[sim: output=500 events=64 pace_ms=20]]`. The list is in `behaviour.py`. What it would have
billed can be read at `GET /_sim/bill`; `POST /_sim/reset` starts a new bill.

Nothing in here uses the gateway's own routing, signing, metering or pricing: it is the other side.
"""
