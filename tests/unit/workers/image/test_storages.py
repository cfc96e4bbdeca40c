"""Bytes of storages, from when they are first seen until they die."""

from __future__ import annotations

import torch

from mysticanvas.workers.image.storages import Storages, layout_of, tensors_of


def test_a_storage_counts_once_and_until_its_last_tensor_is_gone() -> None:
    heard: list[tuple[int, int]] = []
    storages = Storages("cpu", lambda number, change: heard.append((number, change)))
    tensor = torch.zeros(100)
    view = tensor[:10]
    assert storages.follow([tensor, view]) == storages.live == 400
    del tensor
    assert storages.live == 400
    del view
    assert storages.live == 0
    assert heard == [(1, 400), (1, -400)]


def test_weights_and_other_devices_never_count() -> None:
    storages = Storages("cpu")
    weight = torch.zeros(100)
    storages.ignore([weight])
    assert storages.follow([weight, torch.zeros(100, device="meta"), torch.zeros(0)]) == 0


def test_when_it_is_closed_it_hears_of_no_death() -> None:
    storages = Storages("cpu")
    tensor = torch.zeros(100)
    storages.follow([tensor])
    storages.close()
    del tensor
    assert storages.live == 400


def test_tensors_are_found_among_arguments() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    assert [len(each) for each in tensors_of((one, [None, (two,)], 3))] == [1, 2]


def test_layouts_are_told_as_pytorch_takes_them() -> None:
    plain = torch.zeros(2, 3, 4, 5)
    assert layout_of(plain) == "channels_first"
    assert layout_of(plain.to(memory_format=torch.channels_last)) == "channels_last"
    assert layout_of(plain.transpose(2, 3)) == "scattered"
