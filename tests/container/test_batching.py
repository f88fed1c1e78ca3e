"""Who is answered along with whom, and who comes next."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from trainer.batching import Batcher
from trainer.generation import Prompt
from trainer.sampling import Answer
from trainer.text_completion import parse


def prompt(temperature: float = 0, seed: int | None = None) -> Prompt:
    request = parse({"prompt": "x", "temperature": temperature})
    return Prompt(request, [1], 16, seed=seed)


class Turns:
    """Answers each prompt in its third turn, and notes who was in which. `meanwhile` happens within each."""

    def __init__(self) -> None:
        self.batches: list[list[Prompt]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.others_waited: list[bool] = []
        self.released = threading.Event()

    def __call__(self, prompts: Sequence[Prompt], others_wait: Callable[[], bool]) -> list[Answer | Exception | None]:
        self.released.wait(10)
        self.batches.append(list(prompts))
        self.meanwhile()
        self.others_waited.append(others_wait())
        for each in prompts:
            each.transcript = each.transcript or object()  # type: ignore[assignment]
        seen = [sum(each in batch for batch in self.batches) for each in prompts]
        return [Answer("", "stop", 1, 1) if count == 3 else None for count in seen]


def test_those_who_come_meanwhile_join_and_those_who_were_there_go_on() -> None:
    turns = Turns()
    batcher = Batcher(turns)
    first, second = prompt(), prompt()
    asked = [batcher.submit(first)]
    turns.meanwhile = lambda: asked.append(batcher.submit(second)) if len(asked) == 1 else None
    turns.released.set()
    for future in asked:
        assert future.result(10)
    assert turns.batches == [[first], [first, second], [first, second], [second]]
    assert turns.others_waited == [True, False, False, False]


def test_a_crowd_that_goes_on_joining_keeps_nobody_of_another_kind_waiting() -> None:
    turns = Turns()
    batcher = Batcher(turns)
    other, crowd = prompt(temperature=1), [prompt() for _ in range(20)]
    coming = iter(crowd)
    batcher.submit(next(coming))
    answered = batcher.submit(other)

    def join() -> None:
        if (each := next(coming, None)) is not None:
            batcher.submit(each)

    turns.meanwhile = join
    turns.released.set()
    answered.result(10)
    assert next(number for number, batch in enumerate(turns.batches) if other in batch) <= 4


def test_a_change_waits_for_answers_that_have_begun_and_not_for_those_that_go_on_joining() -> None:
    turns = Turns()
    batcher = Batcher(turns)
    first, crowd = prompt(), [prompt() for _ in range(20)]
    coming = iter(crowd)
    asked, changed_after = batcher.submit(first), list[int]()
    changes: list[Any] = []

    def join() -> None:
        if not changes:
            changes.append(batcher.between(lambda: changed_after.append(len(turns.batches))))
        if (each := next(coming, None)) is not None:
            batcher.submit(each)

    turns.meanwhile = join
    turns.released.set()
    asked.result(10)
    changes[0].result(10)
    assert changed_after == [3]


def test_a_seeded_prompt_is_answered_alone() -> None:
    turns = Turns()
    batcher = Batcher(turns)
    alike: list[Any] = [prompt(1, seed=5), prompt(1, seed=5)]
    asked = [batcher.submit(each) for each in alike]
    turns.released.set()
    for future in asked:
        future.result(10)
    assert all(len(batch) == 1 for batch in turns.batches)


def test_an_answer_that_is_whole_is_given_before_its_batch_ends() -> None:
    ended = threading.Event()

    def answer(prompts: Sequence[Prompt], others_wait: Callable[[], bool]) -> list[Answer | Exception | None]:
        whole = Answer("whole", "stop", 1, 1)
        assert prompts[0].finished
        prompts[0].finished(whole)
        ended.wait(10)
        return [whole] * len(prompts)

    future = Batcher(answer).submit(prompt())
    assert future.result(5).text == "whole"
    ended.set()
