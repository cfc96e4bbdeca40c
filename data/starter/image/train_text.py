"""The tokenizer, and a text encoder that reads a caption into nine fixed slots.

CLIP's causal attention lets only late positions see a whole caption, and the pipeline pads every
caption to the same length, so the last nine positions always exist and can see everything. Each is
taught to hold one part of the scene (`phrases.PARTS`) as a fixed code of that part and value. The
image model then finds "what colour is the first thing" at a known place, in the same form for every
phrasing, and combinations it never saw look to it like ones it did.
"""

from __future__ import annotations

import json
from random import Random

import torch
from common import MODEL, TEXT_LENGTH, TEXT_WIDTH, TRAINING, Clock, load_checkpoint, save_checkpoint
from phrases import NOISE, PARTS, Said, describe
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from world import sample, sample_any

VOCABULARY = 1400
START, END = "<|startoftext|>", "<|endoftext|>"
SLOTS = slice(TEXT_LENGTH - len(PARTS), TEXT_LENGTH)


def train_tokenizer(captions: int = 20_000) -> None:
    """Byte-level pairs as CLIP has them; every byte is a token, so any prompt can be read."""
    rng = Random(1)
    texts = [describe(sample(rng), rng, noise=0.1)[0] for _ in range(captions)] + list(NOISE) * 20
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    blank = CLIPTokenizer().backend_tokenizer
    learner.normalizer, learner.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    learner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
        min_frequency=20,
    )
    learner.train_from_iterator(texts, trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    ended = [byte + "</w>" for byte in alphabet]
    tokens = dict.fromkeys([START, END, *alphabet, *ended, *(token for token, _ in learned)])
    learner.save(str(TRAINING / "pairs.json"))
    merges = json.loads((TRAINING / "pairs.json").read_text())["model"]["merges"]
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[tuple(pair) for pair in merges],
        model_max_length=TEXT_LENGTH,
    )
    tokenizer.save_pretrained(TRAINING / "tokenizer")
    print(f"tokenizer: {len(tokenizer)} tokens")


def load_tokenizer() -> CLIPTokenizer:
    trained = TRAINING / "tokenizer"
    folder = trained if trained.is_dir() else MODEL / "tokenizer"
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Exactly as the pipeline does it: padded to the full length, cut there."""
    ids: Tensor = tokenizer(
        captions, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def build_text_encoder(vocabulary: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config)


class Codes(nn.Module):
    """The fixed vector for each value of each part; value i+1 is the i-th of the part, 0 is "not
    said"."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        # The same word shares most of its code wherever it stands: blue is blue as thing or
        # background.
        words = sorted({word for values in PARTS.values() for word in values} | {"", "idle"})
        shared = dict(zip(words, noise(len(words), TEXT_WIDTH), strict=True))
        self.tables = []
        for values in PARTS.values():
            part = noise(1, TEXT_WIDTH)
            table = part + torch.stack([shared[word] for word in ("", *values)])
            table = table + 0.7 * noise(len(values) + 1, TEXT_WIDTH)
            self.tables.append(functional.layer_norm(table, (TEXT_WIDTH,)))
        self.idle = functional.layer_norm(shared["idle"], (TEXT_WIDTH,))

    def read(self, states: Tensor) -> list[Tensor]:
        """Logits for each part: how near the slot's state is to each value's code."""
        slots = states[:, SLOTS]
        return [
            -(slots[:, i, None] - table).square().mean(-1) * 8
            for i, table in enumerate(self.tables)
        ]

    def loss(self, states: Tensor, labels: Tensor) -> Tensor:
        goal = torch.stack([table[labels[:, i]] for i, table in enumerate(self.tables)], 1)
        error = functional.mse_loss(states[:, SLOTS], goal) + 0.1 * functional.mse_loss(
            states[:, : SLOTS.start], self.idle.expand_as(states[:, : SLOTS.start])
        )
        for i, logits in enumerate(self.read(states)):
            error = error + 0.1 * functional.cross_entropy(logits, labels[:, i])
        return error


def label(said: Said) -> list[int]:
    return [
        0 if (value := said[part]) is None else values.index(value) + 1
        for part, values in PARTS.items()
    ]


def _batch(rng: Random, size: int) -> tuple[list[str], Tensor]:
    captions, labels = [], []
    for _ in range(size):
        if rng.random() < 0.02:
            captions.append("")
            labels.append([0] * len(PARTS))
            continue
        caption, said = describe(sample(rng), rng, noise=0.08)
        captions.append(caption)
        labels.append(label(said))
    return captions, torch.tensor(labels)


def accuracy(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, count: int = 1000) -> float:
    """The share of captions, over all combinations, of which every part is read right."""
    rng, codes = Random(99), Codes()
    right = 0
    with torch.no_grad():
        for _ in range(count // 100):
            pairs = [describe(sample_any(rng), rng) for _ in range(100)]
            states = encoder(
                tokenize(tokenizer, [caption for caption, _ in pairs])
            ).last_hidden_state
            read = torch.stack([logits.argmax(-1) for logits in codes.read(states)], 1)
            right += int((read == torch.tensor([label(said) for _, said in pairs])).all(1).sum())
    return right / count


def train_text(minutes: float) -> None:
    tokenizer = load_tokenizer()
    torch.manual_seed(2)
    encoder, codes = build_text_encoder(len(tokenizer)), Codes()
    optimizer = torch.optim.AdamW(encoder.parameters(), 2e-3, weight_decay=0.01)
    state, step = load_checkpoint("text"), 0
    if state:
        encoder.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    clock = Clock(minutes)
    while not clock.is_over():
        step += 1
        rate = 2e-3 * min(1, step / 50) * min(1, max(0.02, 1.5 * (1 - clock.spent())))
        for group in optimizer.param_groups:
            group["lr"] = rate
        captions, labels = _batch(Random(f"text {step}"), 128)
        loss = codes.loss(encoder(tokenize(tokenizer, captions)).last_hidden_state, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            right = accuracy(encoder, tokenizer, 100)
            print(f"text {step}: loss {loss.item():.4f}, read right {right:.3f}", flush=True)
            _save(encoder, optimizer, step)
    _save(encoder, optimizer, step)
    right = accuracy(encoder.eval(), tokenizer)
    print(f"text: all parts read right in {right:.4f} of captions", flush=True)


def _save(encoder: CLIPTextModel, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {"model": encoder.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    save_checkpoint("text", state)
