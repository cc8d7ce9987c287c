"""What prompts are made of: shared system prompts, sessions with growing context, passages, thinking, samples, images.

Structure decides which prompts begin alike, so what a prefix cache can find. Not here: drawing it
(`infersim/workload/structure.py` and `sessions.py`). Read `workload.py` next.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at
from infersim.spec.lengths import Lengths

BlockTokens = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Delay(Spec):
    """A lognormal time."""

    p50_s: Positive
    """Median [s]."""
    p90_s: Positive
    """90th percentile [s]; equal to the median makes it constant."""

    @model_validator(mode="after")
    def _ordered(self) -> "Delay":
        if self.p90_s < self.p50_s:
            raise wrong_at(("p90_s",), f"found {self.p90_s:g}, must be at least p50_s {self.p50_s:g}")
        return self


class SharedPrompt(Spec):
    """Every request begins with one of a few system prompts; its input_tokens come on top."""

    kind: Literal["shared_prompt"]
    """A common beginning."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many different ones there are."""
    prompt_tokens: Lengths
    """Length of each."""
    zipf_exponent: NonNegative = 1.0
    """The k-th prompt is used in proportion to k to the minus this."""
    share: Share = 1.0
    """Share of the requests that have one."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""


class Sessions(Spec):
    """Conversations: arrivals begin sessions, and every turn resends the whole history and adds to it.

    Turns follow each other on an open-loop clock: a nominal response time, then a pause. The load does not slow users
    down; `agents` wait for their answers, and so do users in a closed loop.
    """

    kind: Literal["sessions"]
    """Multi-turn conversations, or agents."""
    turns: Lengths
    """Requests in a session."""
    think_s: Delay
    """Pause of a person before the next turn."""
    tool_share: Share = 0.0
    """Share of the pauses that are tool calls of an agent instead."""
    tool_s: Delay | None = None
    """Pause of a tool call."""
    first_token_s: NonNegative = 1.0
    """Nominal time to the first token of a response [s]."""
    token_s: NonNegative = 0.02
    """Nominal time of each further token [s]."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many different system prompts there are; equally popular."""
    prompt_tokens: Lengths | None = None
    """Length of each; none when absent."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""

    @model_validator(mode="after")
    def _tools(self) -> "Sessions":
        if (self.tool_share > 0) != (self.tool_s is not None):
            right = "say how long tool calls take" if self.tool_s is None else "give a tool_share, or remove tool_s"
            raise wrong_at(("tool_s",), f"does not go with tool_share {self.tool_share:g}; {right}")
        return self


class SubAgents(Spec):
    """Agents that another one starts side by side, and for all of whom it waits; each begins with its own task."""

    share: Share
    """Share of the pauses of a main agent that are such a fan-out instead."""
    count: Lengths
    """How many at a time."""
    calls: Lengths
    """Calls of the model by each."""
    prompt_tokens: Lengths | None = None
    """Length of the system prompt that they have in common; none when absent."""


class Agents(Spec):
    """Agents: arrivals begin sessions, and every call of the model waits for the answer before it, and for a tool.

    A call's prompt is the system prompt, every earlier message and answer of its agent, then input_tokens more (the task,
    or what a tool said). A session ends early when a call does not finish, or before one that exceeds
    max_context_tokens; nothing is sent after the horizon.
    """

    kind: Literal["agents"]
    """Sessions of calls that wait for each other."""
    calls: Lengths
    """Calls of the model in a session, without those of sub-agents."""
    tool_s: Delay
    """From an answer to the next call: a tool runs."""
    think_share: Share = 0.0
    """Share of these pauses in which a person thinks instead."""
    think_s: Delay | None = None
    """Pause of a person."""
    sub_agents: SubAgents | None = None
    """Agents that main agents start; none when absent."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many different system prompts there are; equally popular."""
    prompt_tokens: Lengths | None = None
    """Length of each; none when absent."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""

    @model_validator(mode="after")
    def _thinking(self) -> "Agents":
        if (self.think_share > 0) != (self.think_s is not None):
            right = "say how long people think" if self.think_s is None else "give a think_share, or remove think_s"
            raise wrong_at(("think_s",), f"does not go with think_share {self.think_share:g}; {right}")
        return self


class Rag(Spec):
    """Retrieval: a system prompt, then passages of a corpus in the order of retrieval, then the question.

    input_tokens is the question's length. Passages come in any order, so only what stands before them is surely shared.
    """

    kind: Literal["rag"]
    """Retrieved passages."""
    system_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Length of the common system prompt [tokens]."""
    corpus: Annotated[int, Field(ge=1, le=10_000_000)]
    """Different passages."""
    passages: Annotated[int, Field(ge=1, le=1000)]
    """Passages in a request."""
    passage_tokens: Lengths
    """Length of each passage of the corpus."""
    zipf_exponent: NonNegative = 1.0
    """The k-th passage is retrieved in proportion to k to the minus this."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""


class Reasoning(Spec):
    """Thinking before answering, and several samples of one question at once; output_tokens is the answer's length."""

    kind: Literal["reasoning"]
    """Thinking tokens and samples."""
    thinking_tokens: Lengths
    """Tokens generated before the answer."""
    samples: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Answers drawn for each question; they share its prompt and arrive together."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""


class Images(Spec):
    """Images before the text of a prompt; input_tokens is the text's length."""

    kind: Literal["images"]
    """Multimodal prompts."""
    share: Share = 1.0
    """Share of the requests with images."""
    images: Lengths
    """Images in such a request."""
    image_tokens: Lengths
    """Tokens of an image."""
    block_tokens: BlockTokens = 16
    """Tokens in a prefix block; that of the engine's KV cache."""


Structure = Annotated[SharedPrompt | Sessions | Agents | Rag | Reasoning | Images, Field(discriminator="kind")]
