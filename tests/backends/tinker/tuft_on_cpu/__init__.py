"""A server of the Tinker API for machines without an accelerator: TuFT, with what its release lacks for the tests.

TuFT (https://pypi.org/project/tuft/) is another team's implementation of the API. Its own are HTTP, sessions, sequence
numbers, decoding of requests, training, losses, and saving and loading of states. The release is written for an older client
and needs Ray, vLLM and a GPU, so this package adds: an actor in the process in place of Ray's (`patches`), a sampler on
the CPU in place of vLLM (`sampler`, `decoding`), and in front of the server (`gateway`) what the client of today
expects: ids of samples, a model made from a saved state, adapters to download, the end of a session, the expiry of
checkpoints (accepted and ignored) and `prompt_logprobs_last_n`. Soft targets (T, K) are added to the losses. A test of
these additions alone tests this package, not another team's server.

Not supported: `topk_sample_logprobs`, `target_prompt_logprobs`, `prompt_alt_tokens_k` (all three are refused with
422), expiry of checkpoints, the adapter's `seed`, and a limit on its rank. `lora_alpha` is twice the rank. A training
request that is sent twice is carried out twice.

It needs about 450 MB of memory with the built-in model, and starts in 4 to 18 seconds. To start it by hand:

    python -m tests.backends.tinker.tuft_on_cpu --model NAME=PATH --port 10610 --dir FOLDER --api-key tml-any-key

with the packages of tests/backends/tinker/requirements.txt, as `make test-tinker` installs them. `NAME` is the base
model that the client asks for, `PATH` a folder that transformers loads.
"""
