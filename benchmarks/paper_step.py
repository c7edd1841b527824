"""Memory and time of a training step at the paper's sizes, and what a GPU of 80 GB would make of it.

python benchmarks/paper_step.py [--batch-size 1] [--steps 3] [--json FILE]

ViT-B/16 over 15 frames, CLAP's audio encoder, BART-base and CLIP ViT-B/32, as published but with random
weights, so that nothing is downloaded; 300 input and 32 target tokens. Each case runs in a process of its
own. What is measured: seconds a step (forward, backward, AdamW), peak memory of the process, bytes that the
backward pass waits for, and floating-point operations. What is derived, and how, stands under the table.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

FRAMES, INPUT_TOKENS, TARGET_TOKENS = 15, 300, 32
GPU_BYTES = 80e9
GPU_FLOPS, GPU_SHARE = 312e12, 0.35
"""Peak of an A100 in bf16, and the share of it that training of such models usually reaches (assumed)."""

CASES = {
    "generator, frozen encoders": "BART and the attentions learn, from cached features",
    "generator, end to end": "the same with ViT-B/16 and CLAP",
    "generator, end to end, checkpointed": "the same, activations recomputed",
    "retriever, end to end": "CLIP ViT-B/32, both towers",
    "retriever, end to end, checkpointed": "the same, activations recomputed",
}


@dataclass(frozen=True)
class Measured:
    """What one case costs."""

    case: str
    batch_size: int
    learned_parameters: int
    all_parameters: int
    seconds_per_step: float
    peak_bytes: int
    saved_bytes: int
    flops: int


def published(checkpoint: str, auto: Any) -> Any:
    """A model of a published checkpoint's shape with random weights."""
    from ggm.features.parameter_counts import model_config

    return auto.from_config(model_config(checkpoint))


def generator_case(batch_size: int, *, end_to_end: bool) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import AutoModel, AutoModelForSeq2SeqLM, ClapFeatureExtractor, ViTImageProcessorPil

    from ggm.features.backbones import PretrainedFrameEncoder
    from ggm.features.extract import FeatureExtractor
    from ggm.features.profiles import profile
    from ggm.features.sound import PretrainedSoundEncoder, audio_part
    from ggm.generator.config import GeneratorConfig
    from ggm.generator.model import Generator
    from ggm.records import Sound
    from ggm.training.end_to_end import EndToEndStep
    from ggm.training.generator import GenerationStep
    from ggm.training.recipes import GeneratorRecipe

    base = profile("base")
    tokenizer = letters()
    text = published(base.text, AutoModelForSeq2SeqLM)
    sizes = {"token_dim": 768, "sound_dim": 768, "max_input_tokens": 512, "max_target_tokens": TARGET_TOKENS}
    config = GeneratorConfig(**sizes)
    generator = Generator(config, text_model=text, input_tokenizer=tokenizer, output_tokenizer=tokenizer)
    ids = torch.randint(5, 50_000, (batch_size, INPUT_TOKENS))
    batch: dict[str, Any] = {
        "labels": torch.randint(5, 50_000, (batch_size, TARGET_TOKENS)),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "frame_mask": torch.ones(batch_size, FRAMES, dtype=torch.bool),
    }
    if not end_to_end:
        batch["frame_tokens"] = torch.randn(batch_size, FRAMES, 197, 768)
        batch["sound_tokens"] = torch.randn(batch_size, 32, 768)
        batch["sound_mask"] = torch.ones(batch_size, 32, dtype=torch.bool)
        return GenerationStep(generator, label_smoothing=0.0), batch
    clip, processor = clip_parts()
    frames = PretrainedFrameEncoder(
        clip,
        processor,
        vision=published(base.vision, AutoModel),
        vision_processor=ViTImageProcessorPil(),
    )
    assert base.audio is not None
    sound = PretrainedSoundEncoder(
        audio_part(published(base.audio, AutoModel)), ClapFeatureExtractor(truncation="rand_trunc")
    )
    extractor = FeatureExtractor(frames, hashtag_encoder(clip), sound=sound)
    rng = np.random.default_rng(0)
    noise = Sound(rng.standard_normal(480_000).astype(np.float32) / 10, sound.sample_rate_hz)
    batch["prepared"] = {"vision_pixels": torch.randn(batch_size, FRAMES, 3, 224, 224)}
    batch["sounds"] = [sound.prepare(noise)] * batch_size
    batch["sound_rows"] = torch.arange(batch_size)
    recipe = GeneratorRecipe(train_vision=True, train_sound=True)
    return EndToEndStep(generator, extractor, recipe=recipe), batch


def retriever_case(batch_size: int) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import AutoModel, ViTImageProcessorPil

    from ggm.features.backbones import PretrainedFrameEncoder
    from ggm.features.profiles import profile
    from ggm.retriever.model import Retriever, RetrieverConfig
    from ggm.training.towers import TowerStep

    clip, processor = clip_parts()
    vision = published(profile("base").vision, AutoModel)
    frames = PretrainedFrameEncoder(clip, processor, vision=vision, vision_processor=ViTImageProcessorPil())
    retriever = Retriever(RetrieverConfig(embedding_dim=512, pooled_dim=768, hidden_dim=0))
    step = TowerStep(retriever, frames, hashtag_encoder(clip))
    texts = hashtag_encoder(clip).prepare(["cold weather"] * batch_size)
    batch = {
        "frame_mask": torch.ones(batch_size, FRAMES, dtype=torch.bool),
        "frame_retriever_pixels": torch.randn(batch_size, FRAMES, 3, 224, 224),
        **{f"text_{name}": value for name, value in texts.items()},
    }
    return step, batch


def clip_parts() -> tuple[Any, Any]:
    from transformers import AutoModel, CLIPImageProcessorPil

    from ggm.features.profiles import profile

    return published(profile("base").retriever, AutoModel), CLIPImageProcessorPil()


def hashtag_encoder(clip: Any) -> Any:
    from ggm.features.backbones import PretrainedHashtagEncoder

    return PretrainedHashtagEncoder(clip, letters())


def letters() -> Any:
    """A tokenizer of single bytes with BART's special tokens: what is in the texts plays no part here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    names = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "pad": "<pad>", "unk": "<unk>"}
    named = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def measure(case: str, batch_size: int, steps: int) -> Measured:
    """Run one case in this process."""
    torch.manual_seed(0)
    if case.startswith("retriever"):
        step, batch = retriever_case(batch_size)
    else:
        step, batch = generator_case(batch_size, end_to_end="end to end" in case)
    if "checkpointed" in case:
        step.activation_checkpointing_enable({"use_reentrant": False})
    step.train()
    learning = [parameter for parameter in step.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=6e-5)

    def once() -> None:
        step(**batch)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()

    once()  # Adam's moments are there from now on
    seconds = [timed(once) for _ in range(steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    saved = saved_bytes(lambda: step(**batch)["loss"], learning)
    with FlopCounterMode(display=False) as counter:
        step(**batch)["loss"].backward()
    return Measured(
        case=case,
        batch_size=batch_size,
        learned_parameters=sum(parameter.numel() for parameter in learning),
        all_parameters=sum(parameter.numel() for parameter in step.parameters()),
        seconds_per_step=statistics.median(seconds),
        peak_bytes=peak,
        saved_bytes=saved,
        flops=counter.get_total_flops(),
    )


def timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def saved_bytes(forward: Callable[[], torch.Tensor], parameters: list[nn.Parameter]) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights aside; shared memory once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    seen: dict[int, int] = {}
    kept = []  # what is freed could lend its address to another tensor

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(seen.values())


def report(rows: list[Measured], console: Console) -> None:
    table = Table(title=f"one step, {FRAMES} frames a video, fp32, {torch.get_num_threads()} threads")
    for title in ("case", "batch", "learned / all parameters", "s a step", "peak RSS", "kept for backward"):
        table.add_column(title, justify="left" if title == "case" else "right")
    table.add_column("TFLOP", justify="right")
    for row in rows:
        table.add_row(
            row.case,
            str(row.batch_size),
            f"{row.learned_parameters / 1e6:.1f} M / {row.all_parameters / 1e6:.1f} M",
            f"{row.seconds_per_step:.1f}",
            f"{row.peak_bytes / 2**30:.1f} GiB",
            f"{row.saved_bytes / 2**20:,.0f} MiB",
            f"{row.flops / 1e12:.2f}",
        )
    console.print(table)
    estimate = Table(title="one GPU of 80 GB, estimated (see the rules below)")
    for title in ("case", "weights, gradients, Adam", "a post in bf16", "posts that fit", "posts a second"):
        estimate.add_column(title, justify="left" if title == "case" else "right")
    for row in rows:
        fixed, post, fits, speed = on_gpu(row)
        estimate.add_row(
            row.case, f"{fixed / 1e9:.1f} GB", f"{post / 1e6:,.0f} MB", f"{fits:,.0f}", f"{speed:,.0f}"
        )
    console.print(estimate)
    console.print(
        "Rules: 16 bytes a learned parameter in fp32 (weight, gradient, two moments), 4 a frozen one; a post "
        "costs what the backward pass waits for here, halved, since bf16 keeps most of it in half the bytes "
        "(attention's soft maxima and norms stay in fp32, which 10 % more allow for); 90 % of the memory is "
        f"used; speed is {GPU_SHARE:.0%} of {GPU_FLOPS / 1e12:.0f} TFLOP/s, without the decoding of videos."
    )


def on_gpu(row: Measured) -> tuple[float, float, float, float]:
    """Fixed bytes, bytes a post, posts that fit at once, posts a second."""
    fixed = 16 * row.learned_parameters + 4 * (row.all_parameters - row.learned_parameters)
    post = 1.1 * row.saved_bytes / row.batch_size / 2
    return fixed, post, (0.9 * GPU_BYTES - fixed) // post, GPU_FLOPS * GPU_SHARE * row.batch_size / row.flops


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements there too")
    parser.add_argument("--case", choices=CASES, help="run this one in this process and print JSON")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(asdict(measure(arguments.case, arguments.batch_size, arguments.steps))))
        return
    console, rows = Console(width=150), []
    for case in CASES:
        console.print(f"{case}: {CASES[case]}", style="dim")
        command = [sys.executable, __file__, "--case", case, "--steps", str(arguments.steps)]
        command += ["--batch-size", str(arguments.batch_size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        rows.append(Measured(**json.loads(done.stdout.splitlines()[-1])))
    report(rows, console)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
