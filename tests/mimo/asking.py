"""What tests ask of an engine, and what makes two takes equal."""

from __future__ import annotations

import torch

from model_worker.mimo import Request, Take

SENTENCES = [
    "The train leaves at nine.",
    "Bring me the blue bowl, please.",
    "今天天气真好",
    "Hello.",
    "One, two, three, four.",
]


def requests(count: int, **settings: object) -> list[Request]:
    return [
        Request("speak", {"text": SENTENCES[seed % len(SENTENCES)]}, seed=seed, max_new=16, **settings)
        for seed in range(count)
    ]


def equal(one: Take, other: Take) -> bool:
    return torch.equal(one.groups.text, other.groups.text) and torch.equal(one.groups.codes, other.groups.codes)


def endless(seed: int = 0, groups: int = 400, **settings: object) -> Request:
    """A request that keeps a row busy until its limit."""
    return Request("speak", {"text": "Hello."}, seed=seed, stops=(), max_new=groups, decode=False, **settings)
