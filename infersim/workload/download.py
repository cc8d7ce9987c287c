"""Public traces: where each is published, under which licence, how to cite it, and what its bytes hash to.

Hashes are those of the files that we have seen; for the others None, and a download says so. Not here: formats.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from infersim.workload.traces import TraceError

AZURE = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/"
AZURE_WEEK = "https://azurepublicdatasettraces.blob.core.windows.net/azurellminfererencetrace/"
BURST = "https://github.com/HPMLL/BurstGPT/releases/download/"
MOONCAKE = "https://raw.githubusercontent.com/kvcache-ai/Mooncake/main/FAST25-release/traces/"
BAILIAN = "https://raw.githubusercontent.com/alibaba-edu/qwen-bailian-usagetraces-anon/main/"
RAGPULSE = "https://raw.githubusercontent.com/flashserve/RAGPulse/main/data/"
SPLITWISE = "P. Patel et al., Splitwise: Efficient generative LLM inference using phase splitting, ISCA 2024"
QIN = "R. Qin et al., Mooncake: Trading more storage for less computation, FAST 2025"
DYNAMO = "J. Stojkovic et al., DynamoLLM: Designing LLM inference clusters for performance and energy, HPCA 2025"


@dataclass(frozen=True)
class PublicTrace:
    """One downloadable file."""

    name: str
    file: str
    url: str
    licence: str
    citation: str
    sha256: str | None = None
    by_hand: str = ""
    """What to do at `url`, where the trace is not one file with an address of its own."""


PUBLIC = (
    PublicTrace(
        "azure-code-2023", "AzureLLMInferenceTrace_code.csv", AZURE + "AzureLLMInferenceTrace_code.csv", "CC-BY-4.0",
        SPLITWISE, "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
    ),
    PublicTrace(
        "azure-conversation-2023", "AzureLLMInferenceTrace_conv.csv", AZURE + "AzureLLMInferenceTrace_conv.csv",
        "CC-BY-4.0", SPLITWISE, "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
    ),
    PublicTrace(
        "azure-code-2024", "AzureLLMInferenceTrace_code_1week.csv",
        AZURE_WEEK + "AzureLLMInferenceTrace_code_1week.csv", "CC-BY-4.0", DYNAMO,
    ),
    PublicTrace(
        "azure-conversation-2024", "AzureLLMInferenceTrace_conv_1week.csv",
        AZURE_WEEK + "AzureLLMInferenceTrace_conv_1week.csv", "CC-BY-4.0", DYNAMO,
    ),
    PublicTrace(
        "burstgpt-1", "BurstGPT_1.csv", BURST + "v1.1/BurstGPT_1.csv", "CC-BY-4.0",
        "Y. Wang et al., BurstGPT: A real-world workload dataset to optimize LLM serving systems, KDD 2025",
    ),
    PublicTrace(
        "mooncake-conversation", "conversation_trace.jsonl", MOONCAKE + "conversation_trace.jsonl", "Apache-2.0",
        QIN, "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df",
    ),
    PublicTrace(
        "mooncake-toolagent", "toolagent_trace.jsonl", MOONCAKE + "toolagent_trace.jsonl", "Apache-2.0",
        QIN,
    ),
    PublicTrace(
        "mooncake-synthetic", "synthetic_trace.jsonl", MOONCAKE + "synthetic_trace.jsonl", "Apache-2.0", QIN,
    ),
    PublicTrace(
        "sharegpt-lengths", "sharegpt_8k_filtered_stats_llama2_tokenizer.csv",
        "https://raw.githubusercontent.com/microsoft/sarathi-serve/main/data/processed_traces/"
        "sharegpt_8k_filtered_stats_llama2_tokenizer.csv", "Apache-2.0",
        "A. Agrawal et al., Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve, OSDI 2024",
        "6d6c296302a853e2669a674a96f269283e60c57e60363bd450588a1066919f9f",
    ),
    *(
        PublicTrace(f"ragpulse{part}", file, RAGPULSE + file, "MIT", "RAGPulse, arXiv 2511.12979")
        for part, file in (
            ("", "0_trace.jsonl"), ("-sys-prompt", "1_sys_prompt.jsonl"), ("-passages", "2_passages.jsonl"),
            ("-history", "3_history.jsonl"), ("-user-input", "4_user_input.jsonl"), ("-web-search", "5_web_search.jsonl"),
        )
    ),
    PublicTrace(
        "azure-multimodal-2024", "", "https://github.com/Azure/AzurePublicDataset", "CC-BY-4.0",
        "Azure LMM inference trace, Azure Public Dataset",
        by_hand="take the multimodal inference trace (a CSV in gz) from its folder data",
    ),
    PublicTrace(
        "burstgpt-2-3", "", "https://github.com/HPMLL/BurstGPT/releases", "CC-BY-4.0",
        "Y. Wang et al., BurstGPT: A real-world workload dataset to optimize LLM serving systems, KDD 2025",
        by_hand="take BurstGPT_2.csv or BurstGPT_3.csv from the releases",
    ),
    PublicTrace(
        "bailian-others", "", "https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon", "Apache-2.0",
        "Alibaba, qwen-bailian-usagetraces-anon", by_hand="take the JSON lines of trace B, coder or thinking",
    ),
    PublicTrace(
        "servegen", "", "https://github.com/alibaba/ServeGen", "Apache-2.0",
        "Y. Xiang et al., ServeGen, NSDI 2026, arXiv 2505.09999",
        by_hand="clone it; data/KIND/MODEL is a folder of clients that process servegen reads",
    ),
    PublicTrace(
        "kv-cache-tester", "", "https://github.com/callanjfox/kv-cache-tester", "Apache-2.0",
        "C. Fox, kv-cache-tester", by_hand="clone it; each of traces/trace_*.json is a session",
    ),
    PublicTrace(
        "bailian-a", "qwen_traceA_blksz_16.jsonl", BAILIAN + "qwen_traceA_blksz_16.jsonl", "Apache-2.0",
        "Alibaba, qwen-bailian-usagetraces-anon",
    ),
)  # fmt: skip


def public_trace(name: str) -> PublicTrace:
    """A public trace by name; ValueError with the known names if there is none."""
    for trace in PUBLIC:
        if trace.name == name:
            return trace
    raise ValueError(f"no public trace is called {name}; known are {', '.join(trace.name for trace in PUBLIC)}")


def download(trace: PublicTrace, folder: Path, progress: Callable[[int], None] | None = None) -> Path:
    """Fetch a trace into a folder and check its hash; a file that fails is not kept.

    `progress` is told the bytes so far. Raises TraceError that says what to do by hand where the network does not help.
    """
    if trace.by_hand:
        raise TraceError(Path(trace.name), f"is not one file to fetch; go to {trace.url} and {trace.by_hand}")
    target = folder / trace.file
    part = target.with_suffix(target.suffix + ".part")
    by_hand = f"fetch {trace.url} in a browser and put it at {target}"
    digest, size = hashlib.sha256(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urlopen(trace.url, timeout=60) as source, open(part, "wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
                digest.update(block)
                size += len(block)
                if progress is not None:
                    progress(size)
        if trace.sha256 is not None and digest.hexdigest() != trace.sha256:
            raise TraceError(
                target, f"came with another hash, {digest.hexdigest()}: it is not the published file; {by_hand}"
            )
        part.replace(target)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise TraceError(target, f"cannot be fetched: {error}; {by_hand}") from error
    except OSError as error:
        raise TraceError(target, f"cannot be written: {error.strerror}; give another folder") from error
    finally:
        part.unlink(missing_ok=True)
    return target
