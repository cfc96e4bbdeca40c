"""How much memory a job will take: arithmetic on sizes of files and traces of architectures.

    peak = context + max over phases (resident weights + held tensors + envelope) + safety

Nothing here touches a file, a clock or a device, so a prediction can be made anywhere.
"""
