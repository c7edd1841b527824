"""Stage II: frames and sound become features, by pretrained encoders.

`profiles` names the pretrained parts, `encoders` says what an encoder is, `backbones` (hub
checkpoints), `compact` (weights from packages) and `tiny` (random, for tests) are encoders,
`extract` runs them over videos and `cache` keeps what they said.
"""
