"""How the runs of the end-to-end sample were made, as far as its rows do not say: InferenceMAX's servers and clients.

All of it is from memory of InferenceMAX's scripts and of engines' release notes, with these rows in sight: facts of runs, not
fits, but not independent of the rows either. Not here: the rows (`silicon_rows.py`).
"""

import re

Fields = dict[str, str]

NEVER, FEW_USERS, POLLS = 1, 16, (10, 30)
"""InferenceMAX starts SGLang on B200 and B300 with --scheduler-recv-interval 10 below so many users, else 30: it looks for
new requests every so many steps only, and TTFT jumps there. On other chips it does not."""
POLLED = ("b200_sxm", "b300_sxm")
LOOKED_ALWAYS = (("GLM", ""), ("Qwen3.5", "2026-04-17"))
"""Runs (model, day) there that were not: TTFT does not jump at 16 users but grows with the step (GLM 5 on B300: 143 ms at 8 users,
153 at 16; Qwen3.5 in fp8: 203 and 218, on the next day in bf16 and fp4 170 and 298)."""
COLD_S, OWN_COLD_S = 0.2, 0.3
"""What the first prompts wait for in a server that was started for the run: kernels that are loaded, compiled and tuned
when first launched. TTFT of few users is 10 to 40 ms longer than what they wait for otherwise, whatever their number, and a tenth of the
requests are first ones. InferenceMAX's runs, and the package's own."""
COMPILING, COMPILING_S, SHORT_BURST = ("sglang", "2025-11-10"), 70.0, 16_384
"""A campaign (engine, day) whose servers compiled kernels for whole chunks when the first came: where more than so many tokens come at
once TTFT is 7 s longer at 4 users as at 128, a tenth of 70 s, and not otherwise."""
TUNED, TUNED_S = ("trtllm", "2026-01-14", "h200_sxm"), 2.5
"""A campaign (engine, day, chip) that drafted tokens and whose first prompts waited for more: TTFT of 4 to 64 users is 210 to 290 ms longer than
what they wait for otherwise, after prompts of 1,024 tokens as of 8,192, and a tenth of the requests are first ones."""
DRAWN = (0.9, 0.064)
"""InferenceMAX draws lengths evenly from 0.8 to 1 times what is stated: their mean, and coefficient of variation."""
FIXED, UNEVEN = (1.0, 0.0), (1.0, 0.1)
"""The package's own runs ask for one length, and answers that begin together end together: on H100 TTFT is that of such waves. On H200
it is a third of that under SGLang, and TPOT longer: answers there were not of one length."""
ROUNDS, FEW_ROUNDS = 10, 5
"""Requests for each user, in most runs and in those."""
WARM_SINCE = "2026-04"
"""Runs from then on sent requests before those that count: the same release of vLLM (0.17) on B200 shows a TTFT of Kimi K2.5 97 ms
shorter on 2026-04-20 than on 2026-03-27, at the same TPOT."""
GRAPHED_SINCE = "20260317"
"""Nightly images of SGLang from then on replay prompts as piecewise CUDA graphs, as 0.5.10 does by default: what a prompt of
1,024 tokens costs others' decoding falls from 110 to 200 ms (0.5.9) to 20 to 50 ms."""
HELD_BACK = 60
"""TensorRT-LLM's attention_dp_config.timeout_iters there: with data-parallel attention prompts wait for so many steps at
most until every rank has one, so that TTFT is 20 to 60 steps."""
STREAMED, IN_TWENTIES = ("trtllm", "Llama-3.1-70B", "1024", "1024"), 20
"""Runs (engine, model, prompt, answer) on 1, 2 and 4 chips that sent tokens by the twenty (stream_interval, before its first token was sent alone): TTFT of
4 to 128 users on H200 and B200, in fp8 and fp4, is 19 tokens' time longer than beside answers of 8,192 tokens or on 8 chips, where it was not set."""
DRAFTS = (0.68, 0.68, 0.68)
"""Chances of three drafted tokens to be accepted one after the other: 2.44 tokens a step, as LMSYS reports of three
tokens drafted by DeepSeek's own layer (July 2025)."""
DRAFTING = (
    ("trtllm", "1.2.0rc6.post3", ""),
    ("trtllm", "1.1.0rc2.post2", "2026-01-14"),
    ("sglang", "0.5.9", "2026-03-20"),
    ("sglang", "0.5.9", "2026-04-03", "v0.5.9-cu130"),
)
"""Campaigns (engine, release, day, and image where two ran on that day) whose runs drafted tokens. The rows do not say so: their TPOT is half of that of runs of
the same layout one release or some weeks before or after, and InferenceMAX has such configurations beside the plain ones."""
TWO_PROMPTS, DEFAULT_TOKENS, SILENT_RELEASES = 2, 2048, ("0.15.", "0.16.", "0.17.")
"""InferenceMAX starts vLLM with --max-num-batched-tokens of twice the prompt (Llama in 2025: 8,192); MiniMax and Kimi under these releases show steps of 2,048 at prompts of either length. With --max-cudagraph-capture-size
2048 prompts of gpt-oss are replayed."""
IN_STEP = ("0.11.", "0.12.")
"""Releases of vLLM that schedule a step when the one before has ended: --async-scheduling is a default from 0.14 on, and InferenceMAX asked
for it before."""
ONE_PROMPT = 1024
"""A step of the package's own runs of TensorRT-LLM and vLLM holds one prompt, or 1,024 tokens of shorter ones: TTFT of 4 to 64 users is
three steps of one prompt (two under vLLM 0.12) at 1,024 tokens as at 4,096."""
A_SEAT_SHORT = "8B"
"""The model whose runs of TensorRT-LLM 1.0 served one request fewer than there were users: TTFT of 8 to 32 users grows with the answer, by
its time over the number of users (550 ms at 512 tokens, 191 at 128), as Little's law has it; nobody waits so under the other models."""
SMALL_CACHE = (
    ("vllm", "Llama-3.1-70B", ("b200_sxm", "h200_sxm"), ""),
    ("vllm", "gpt-oss", ("b200_sxm",), ""),
    ("vllm", "MiniMax", ("b200_sxm", "b300_sxm"), "0.19.0"),
    ("sglang", "DeepSeek", ("b200_sxm", "b300_sxm"), ""),
    ("sglang", "GLM", ("b200_sxm", "b300_sxm"), ""),
)
"""Runs (engine, model, chips, release) with --kv-cache-dtype fp8. Of all but gpt-oss what was in flight would not have fitted in 16
bits, and TTFT would be 4 to 60 s longer; of Llama on H100 and MiniMax under other releases it is that of 16 bits."""


def engine_release(row: Fields) -> str:
    """Engine and release, as the catalogue tells them apart."""
    backend, release = row["backend"], row.get("backend_version", "")
    if backend == "trtllm":
        return backend if release.startswith("1.0.") else f"{backend} 1.2"
    if backend == "vllm":
        return backend if ahead(row) else f"{backend} {release}"
    image = re.search(r"nightly-dev\D*\d*-(20\d{6})", row["silicon_data_source"])
    graphed = image.group(1) >= GRAPHED_SINCE if image else release.startswith("0.5.10")
    return f"{backend} 0.5.10" if backend == "sglang" and graphed else backend


def day(row: Fields) -> str:
    """When it was measured; empty where that is not said."""
    found = re.search(r"measured=([-\d]+)", row["silicon_data_source"])
    return found.group(1) if found else ""


def cold_s(row: Fields, users: int) -> float:
    """What the first prompts of a server wait for, of `users` at once [s]."""
    campaign, burst = (row["backend"], day(row)), users * int(row["isl"])
    if campaign == COMPILING and burst > SHORT_BURST:
        return COMPILING_S
    if (*campaign, row["system"]) == TUNED:
        return TUNED_S
    if on_disk(row):
        return OWN_COLD_S
    return 0.0 if day(row) >= WARM_SINCE else COLD_S


def lengths(row: Fields) -> tuple[float, float]:
    """Mean of the lengths over what is stated, and their coefficient of variation."""
    if not on_disk(row):
        return DRAWN
    return UNEVEN if row["system"] == "h200_sxm" else FIXED


def rounds(row: Fields) -> int:
    """Requests for each user, the first ones counted."""
    return FEW_ROUNDS if lengths(row) == UNEVEN else ROUNDS


def kv_cache(row: Fields, weights: str) -> str:
    """Dtype of keys and values."""
    backend, release = row["backend"], row.get("backend_version", "")
    if backend == "trtllm":
        return "fp8" if weights in ("fp8", "fp4") else "bf16"
    small = any(
        backend == engine and row["system"] in chips and model in row["model_path"] and release.startswith(version)
        for engine, model, chips, version in SMALL_CACHE
    )
    return "fp8" if small else "bf16"


def polls_every(row: Fields, users: int, data: int) -> int:
    """Steps from one look for new requests to the next; `data` groups of attention."""
    backend, model = row["backend"], row["model_path"]
    if backend == "sglang" and row["system"] in POLLED:
        always = any(name in model and day(row).startswith(when) for name, when in LOOKED_ALWAYS)
        return NEVER if always else POLLS[users >= FEW_USERS]
    return HELD_BACK if backend == "trtllm" and data > 1 else NEVER


def streams_every(row: Fields) -> int:
    """Tokens that are sent at a time."""
    backend, name, *lengths = STREAMED
    streamed = row["backend"] == backend and name in row["model_path"] and [row["isl"], row["osl"]] == lengths
    return IN_TWENTIES if streamed and not on_disk(row) and float(row["tp_size"]) < 8.0 else 1


def step_tokens(row: Fields, decoding: int, data: int) -> int | None:
    """Tokens that a step holds at most, where `decoding` users' tokens are among them; None for the engine's default."""
    backend, release, model, prompt = row["backend"], row.get("backend_version", ""), row["model_path"], int(row["isl"])
    if backend != "sglang" and on_disk(row):
        return max(prompt, ONE_PROMPT) + decoding
    if backend == "vllm" and release:
        silent = release.startswith(SILENT_RELEASES) and "gpt-oss" not in model
        return data * (DEFAULT_TOKENS if silent else TWO_PROMPTS * prompt)
    if backend == "trtllm" and "DeepSeek" in model:
        return data * -(-(prompt + decoding + 64) // 64) * 64
    return None


def on_disk(row: Fields) -> bool:
    """Whether a run is the package's own rather than InferenceMAX's: it names a file on a disk."""
    return "source_file=/" in row["silicon_data_source"]


def ahead(row: Fields) -> bool:
    """Whether the engine schedules a step while the one before runs, if it can."""
    return not (row["backend"] == "vllm" and on_disk(row) and row.get("backend_version", "").startswith(IN_STEP))


def seats(row: Fields, users: int) -> int:
    """Requests that the server has in hand at once at most, for so many users."""
    return users - (row["backend"] == "trtllm" and on_disk(row) and A_SEAT_SHORT in row["model_path"])


def graphed_tokens(row: Fields) -> int | None:
    """Tokens up to which steps with prompts replay graphs; None for the engine's default."""
    return 2048 if row["backend"] == "vllm" and "gpt-oss" in row["model_path"] else None


def drafts(row: Fields, data: int) -> tuple[float, ...]:
    """Chances of each drafted token to be accepted; none for a run that did not draft."""
    said = row["backend"], row.get("backend_version", "")
    drafted = any(
        said == (engine, release) and when in ("", day(row)) and row["silicon_data_source"].endswith("".join(image))
        for engine, release, when, *image in DRAFTING
    )
    return DRAFTS[: 1 if data > 1 else 3] if drafted else ()
