"""The fast path: encoders exported once, run by ONNX Runtime instead of torch.

`export` writes a folder beside a bundle, `session` runs what is in it. Numbers agree with torch's
to rounding; hashtags are the same but for ties.
"""
